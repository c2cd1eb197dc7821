-- For workers of a list: a job failed. It is tried again later, or goes to the dead letters, and leaves the processing list.
-- KEYS: the list's delayed jobs, the dead letters, the dead letters of its tier, and the processing list if there is one.
--       (jobs:bulk:delayed jobs:dead_letter jobs:dead_letter:p2 jobs:bulk:processing:w-7)
-- ARGV: the element as it was taken, the reason, and in how many milliseconds to try again, or `dead`.
-- Answers 1; 0 if the element is not in the processing list. Whatever goes wrong in between, the job is in one place at least.
local element, reason, delay = ARGV[1], ARGV[2], tonumber(ARGV[3])
if KEYS[4] and not redis.call('LPOS', KEYS[4], element) then return 0 end

local time = redis.call('TIME')
local seconds, millis = tonumber(time[1]), math.floor(tonumber(time[2]) / 1000)

-- RFC 3339: the date from the days since 1970 (Hinnant, "chrono-compatible low-level date algorithms").
local function now()
  local days, rest = math.floor(seconds / 86400) + 719468, seconds % 86400
  local era = math.floor(days / 146097)
  local doe = days - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day, month = doy - math.floor((153 * mp + 2) / 5) + 1, mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day,
    math.floor(rest / 3600), math.floor(rest / 60) % 60, rest % 60, millis)
end

local job = cjson.decode(element)
local attempt = math.max(tonumber(job['attempt']) or 1, (tonumber(job['_retry_count']) or 0) + 1)
if not job['first_failed_at'] or job['first_failed_at'] == cjson.null then job['first_failed_at'] = now() end
if delay then
  job['attempt'], job['_retry_count'] = attempt + 1, attempt
  local due = seconds * 1000 + millis + delay
  redis.call('ZADD', KEYS[1], string.format('%.0f', due), cjson.encode(job))
else
  job['attempt'], job['reason'], job['died_at'] = attempt, reason, now()
  job['attempts'] = (tonumber(job['earlier_attempts']) or 0) + attempt
  redis.call('HSET', KEYS[2], job['id'], cjson.encode(job))
  redis.call('ZADD', KEYS[3], string.format('%.0f', seconds * 1000 + millis), job['id'])
end
if KEYS[4] then redis.call('LREM', KEYS[4], 1, element) end
return 1
