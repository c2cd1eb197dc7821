-- Stores jobs under idempotency keys: those whose key stands for an earlier job are not stored again.
--
-- KEYS: the queue, the list of keys in order of insertion.
-- ARGV: 'stream' or 'list', what the name of every key begins with, for how many milliseconds and how many keys are kept,
-- then per job: its key or '', what to remember under it, the number of arguments, the arguments of XADD or LPUSH.
-- Answers: how many keys are kept, the age of the oldest in milliseconds, then per job '' or what its key stands for.
local queue, keys = KEYS[1], KEYS[2]
local stream, prefix, keep, most = ARGV[1] == 'stream', ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- All that can fail for one job alone is asked before anything is written: all jobs are stored or none.
local kept = redis.call('LLEN', keys)
local held, jobs, at = {}, 0, 5
while ARGV[at] do
  local key = ARGV[at]
  if key ~= '' and held[key] == nil then
    held[key] = redis.call('GET', prefix .. key)
  end
  jobs = jobs + 1
  at = at + 3 + tonumber(ARGV[at + 2])
end

local answer = {0, 0}
at = 5
while ARGV[at] do
  local key, value = ARGV[at], ARGV[at + 1]
  local first = at + 3
  local last = at + 2 + tonumber(ARGV[at + 2])
  at = last + 1
  if key ~= '' and held[key] then
    answer[#answer + 1] = held[key]
  else
    if stream then
      redis.call('XADD', queue, '*', unpack(ARGV, first, last))
    else
      redis.call('LPUSH', queue, unpack(ARGV, first, last))
    end
    answer[#answer + 1] = ''
    if key ~= '' then
      -- The job is stored by now: what fails here may lose the key, never the receipt.
      held[key] = value
      redis.pcall('SET', prefix .. key, value, 'PX', keep)
      redis.pcall('RPUSH', keys, string.format('%d %s', now, key))
      kept = kept + 1
    end
  end
end

-- Beyond their time or their number the oldest go, a bounded number of them at once.
local age = 0
for _ = 0, 2 * jobs + 8 do
  local oldest = redis.pcall('LINDEX', keys, 0)
  if type(oldest) ~= 'string' then break end
  local stored, key = string.match(oldest, '^(%d+) (.*)$')
  age = now - (tonumber(stored) or 0)
  if kept <= most and age < keep then break end
  redis.pcall('LPOP', keys)
  kept = kept - 1
  if age < keep then redis.pcall('DEL', prefix .. key) end
end
answer[1], answer[2] = kept, age
return answer
