-- Writes a replica's line onto the board and reads those of all.
--
-- KEYS: the board, a hash from replica to line; before each line stands when it was written, in milliseconds.
-- ARGV: the replica, its line or '' to read only, after how many milliseconds a line is removed, how many there may be.
-- Answers: the server's time in microseconds, whether the line was refused since the board is full, then each replica
-- and its line.
local board, own, line = KEYS[1], ARGV[1], ARGV[2]
local keep, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local lines, others = {}, 0
local all = redis.call('HGETALL', board)
for at = 1, #all, 2 do
  local written, text = string.match(all[at + 1], '^(%d+) (.*)$')
  if written and now - tonumber(written) <= keep and others < most then
    if all[at] ~= own then
      others = others + 1
      lines[#lines + 1] = all[at]
      lines[#lines + 1] = text
    end
  else
    redis.call('HDEL', board, all[at])
  end
end
local refused = 0
if line ~= '' then
  if others < most then
    redis.call('HSET', board, own, string.format('%d ', now) .. line)
    redis.call('PEXPIRE', board, 60000)
  else
    refused = 1
  end
end
return { string.format('%.0f', micros), refused, unpack(lines) }
