-- Agrees with other gateways on who stores a job under an idempotency key.
--
-- KEYS: the list of keys in order of insertion, then the keys.
-- ARGV: for how many milliseconds and how many keys are kept, then per key what to remember under it.
-- Answers per key: '' where it is this gateway's now, else what it stands for, and for how many milliseconds.
local keep, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer = {}
for index = 2, #KEYS do
  local key, value = KEYS[index], ARGV[index + 1]
  local held = redis.call('GET', key)
  if held and held ~= value then
    answer[#answer + 1] = held
    answer[#answer + 1] = keep - redis.call('PTTL', key)
  else
    redis.call('SET', key, value, 'PX', keep)
    if not held then redis.call('RPUSH', KEYS[1], key) end
    answer[#answer + 1] = ''
    answer[#answer + 1] = 0
  end
end
-- Beyond their time or their number the oldest go, a bounded number of them at once.
for _ = 0, 2 * #KEYS + 8 do
  local oldest = redis.call('LINDEX', KEYS[1], 0)
  if not oldest then break end
  local crowded = redis.call('LLEN', KEYS[1]) > most
  if not crowded and redis.call('EXISTS', oldest) == 1 then break end
  redis.call('LPOP', KEYS[1])
  if crowded then redis.call('DEL', oldest) end
end
return answer
