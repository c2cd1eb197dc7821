-- The delayed jobs that are due, the earliest first.
-- KEYS: the delayed jobs. ARGV: jobs at most, bytes at most.
local time = redis.call('TIME')
local now = time[1] .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))
local most, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])
local due, bytes = {}, 0
while #due < most and bytes < most_bytes do
  local next = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', #due, 8)
  for _, element in ipairs(next) do
    due[#due + 1] = element
    bytes = bytes + #element
  end
  if #next < 8 then break end
end
return due
