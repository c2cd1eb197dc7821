-- Moves one delayed job back into its queue, unless somebody else did: first there, then away, so that no failure loses it.
-- KEYS: the queue, the delayed jobs. ARGV: the job as it is delayed; for a stream, its fields.
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
if #ARGV == 1 then
  redis.call('LPUSH', KEYS[1], ARGV[1])
else
  redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
end
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
