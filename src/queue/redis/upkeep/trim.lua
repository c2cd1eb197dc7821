-- Removes from a stream what every group of it has acknowledged.
-- KEYS: the stream. ARGV: entries removed at most, 0 to only look.
-- Answers: nil without a stream, else its length before, what was removed, and of each group: name, the first id that it
-- needs, lag (nil where Redis does not know it), pending.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end

local function split(id) return string.match(id, '^(%d+)%-(%d+)$') end

-- Ids are two numbers of up to 64 bits; Lua's are exact up to 53.
local function smaller(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function before(a, b)
  local a_time, a_count = split(a)
  local b_time, b_count = split(b)
  if a_time ~= b_time then return smaller(a_time, b_time) end
  return smaller(a_count, b_count)
end

local function after(id)
  local time, count = split(id)
  local number = tonumber(count)
  if number >= 9007199254740991 then return id end
  return time .. '-' .. string.format('%.0f', number + 1)
end

local least, groups = nil, {}
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
  local needs
  if group['pending'] > 0 then
    needs = redis.call('XPENDING', KEYS[1], group['name'])[2]
  else
    needs = after(group['last-delivered-id'])
  end
  if not least or before(needs, least) then least = needs end
  groups[#groups + 1] = {group['name'], needs, group['lag'] or false, group['pending']}
end
local length, removed = redis.call('XLEN', KEYS[1]), 0
if least and tonumber(ARGV[1]) > 0 then
  removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', least, 'LIMIT', ARGV[1])
end
return {length, removed, groups}
