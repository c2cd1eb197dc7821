-- What stands in one stream, at one instant. Reads only.
-- KEYS: the stream, its delayed jobs. ARGV: entries counted at most, bytes read at most, 1 to look for the oldest, and
-- the groups that count.
-- Answers: seconds, microseconds, delayed jobs, length, entries ever added, the newest id, the first delayed job (or nil),
-- and of each group: name, pending, lag (nil where Redis does not know it), what was counted instead (nil: not needed, or too much), the oldest id,
-- its consumers, the last id that was handed out.
local time = redis.call('TIME')
local delayed = redis.call('ZCARD', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {time[1], time[2], delayed}
end
local most, most_bytes, look = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local counts = {}
for i = 4, #ARGV do counts[ARGV[i]] = true end

local function map(list)
  local found = {}
  for i = 1, #list, 2 do found[list[i]] = list[i + 1] end
  return found
end

-- Entries of a range, or nil if there are more than may be looked at.
local function count(from, to)
  local entries, bytes, step = 0, 0, 1
  while true do
    local range = redis.call('XRANGE', KEYS[1], from, to, 'COUNT', step)
    for _, entry in ipairs(range) do
      entries = entries + 1
      for _, field in ipairs(entry[2]) do bytes = bytes + #field end
    end
    if #range < step then return entries end
    if entries >= most or bytes >= most_bytes then return nil end
    from = '(' .. range[#range][1]
    step = math.min(2 * step, 64)
  end
end

local stream = map(redis.call('XINFO', 'STREAM', KEYS[1]))
local length, groups = stream['length'], {}
local deleted = stream['max-deleted-entry-id'] ~= '0-0'
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = map(info)
  local last, lag, counted, oldest = group['last-delivered-id'], group['lag'], false, false
  if counts[group['name']] then
    if not lag or deleted then
      -- Deleted entries lie in the way, or did: then Redis counts too much at times. What is after the group is counted, or
      -- what is before it, whichever is likely to be short.
      local function after() return count('(' .. last, '+') end
      local function before()
        local entries = count('-', last)
        return entries and length - entries
      end
      if (lag or length) <= most then
        counted = after() or before() or false
      else
        counted = before() or after() or false
      end
    end
    if look then
      local first = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', 1)[1]
      oldest = first and first[1] or false
    end
  end
  groups[#groups + 1] = {group['name'], group['pending'], lag or false, counted, oldest, group['consumers'], last}
end
local retry = look and redis.call('ZRANGE', KEYS[2], 0, 0)[1] or false
return {time[1], time[2], delayed, length, stream['entries-added'] or false, stream['last-generated-id'], retry, groups}
