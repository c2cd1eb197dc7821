-- For workers of a stream: a job failed. It is tried again later, or goes to the dead letters, and is acknowledged.
-- KEYS: the stream, its delayed jobs, the dead letters, the dead letters of its tier.
--       (jobs:bulk jobs:bulk:delayed jobs:dead_letter jobs:dead_letter:p2)
-- ARGV: the group, the entry's id, the reason, and in how many milliseconds to try again, or `dead`.
-- Answers 1; 0 if the entry is not the group's any more. Whatever goes wrong in between, the job is in one place at least.
local group, id, reason, delay = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local pending = redis.call('XPENDING', KEYS[1], group, id, id, 1)[1]
if not pending then return 0 end
local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
if not entry then
  redis.call('XACK', KEYS[1], group, id)
  return 0
end

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

-- Whether a text is UTF-8: what is left when every valid character beyond ASCII is taken out.
local function is_utf8(text)
  if not string.find(text, '[\128-\255]') then return true end
  local tail = '[\128-\191]'
  for _, form in ipairs({'[\194-\223]' .. tail, '\224[\160-\191]' .. tail, '[\225-\236\238\239]' .. tail .. tail,
    '\237[\128-\159]' .. tail, '\240[\144-\191]' .. tail .. tail, '[\241-\243]' .. tail .. tail .. tail,
    '\244[\128-\143]' .. tail .. tail}) do
    text = string.gsub(text, form, '.')
  end
  return not string.find(text, '[\128-\255]')
end

local function base64(bytes)
  local digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = string.byte(bytes, i, i + 2)
    local number = a * 65536 + (b or 0) * 256 + (c or 0)
    local group = ''
    for place = 18, 0, -6 do
      local digit = math.floor(number / 2 ^ place) % 64
      group = group .. string.sub(digits, digit + 1, digit + 1)
    end
    out[#out + 1] = not b and string.sub(group, 1, 2) .. '==' or not c and string.sub(group, 1, 3) .. '=' or group
  end
  return table.concat(out)
end

local job = {}
for i = 1, #entry[2], 2 do job[entry[2][i]] = entry[2][i + 1] end
if not is_utf8(job['body'] or '') then
  job['body_base64'], job['body'] = base64(job['body']), nil
end
-- A job that was handed out again after its worker died has had more attempts than its entry says.
local attempt = (tonumber(job['attempt']) or 1) + pending[4] - 1
local earlier = tonumber(job['earlier_attempts']) or 0
job['earlier_attempts'] = earlier > 0 and earlier or nil
job['first_failed_at'] = job['first_failed_at'] or now()
if delay then
  job['attempt'], job['_retry_count'] = attempt + 1, attempt
  local due = seconds * 1000 + millis + delay
  redis.call('ZADD', KEYS[2], string.format('%.0f', due), cjson.encode(job))
else
  job['attempt'], job['attempts'], job['reason'], job['died_at'] = attempt, earlier + attempt, reason, now()
  redis.call('HSET', KEYS[3], job['id'], cjson.encode(job))
  redis.call('ZADD', KEYS[4], string.format('%.0f', seconds * 1000 + millis), job['id'])
end
redis.call('XACK', KEYS[1], group, id)
return 1
