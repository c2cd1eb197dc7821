-- What stands in one list and in its workers' hands, at one instant. Reads only.
-- KEYS: the list, its delayed jobs, the registered workers. ARGV: what processing lists begin with, the same as a pattern,
-- the cursor of the search for them, keys searched at once, processing lists at most, and those known.
-- Answers: seconds, microseconds, delayed jobs, length, jobs in processing lists, the next cursor, the processing lists that
-- hold jobs (or nil if there are too many), and when the oldest job, the one 1 % behind it and the first delayed one came in.
local time = redis.call('TIME')
local delayed, length = redis.call('ZCARD', KEYS[2]), redis.call('LLEN', KEYS[1])
local prefix, most = ARGV[1], tonumber(ARGV[5])

-- When an element came in, as it says itself. Texts of clients cannot hold a bare quote, so the first match is the member.
local function came_in(element)
  if not element then return false end
  return string.match(element, '"accepted_at"%s*:%s*"([^"]*)"')
    or string.match(element, '"_enqueued_at"%s*:%s*"?([%d%.]+)') or false
end

local lists, total = {}, 0
local function note(name)
  if not lists[name] then
    lists[name] = true
    total = total + 1
  end
end
for i = 6, #ARGV do note(ARGV[i]) end
local step = redis.call('SCAN', ARGV[3], 'MATCH', ARGV[2], 'COUNT', ARGV[4])
for _, name in ipairs(step[2]) do note(name) end
if redis.call('SCARD', KEYS[3]) <= most then
  for _, worker in ipairs(redis.call('SMEMBERS', KEYS[3])) do note(prefix .. worker) end
else
  total = most + 1
end

local held, holding = 0, {}
if total <= most then
  for name in pairs(lists) do
    local jobs = redis.call('LLEN', name)
    if jobs > 0 then
      held = held + jobs
      holding[#holding + 1] = name
    end
  end
else
  holding = false
end
local oldest = came_in(redis.call('LINDEX', KEYS[1], -1))
local p99 = came_in(redis.call('LINDEX', KEYS[1], -1 - math.floor((length + delayed) / 100)))
local retry = came_in(redis.call('ZRANGE', KEYS[2], 0, 0)[1])
return {time[1], time[2], delayed, length, held, step[1], holding, oldest, p99, retry}
