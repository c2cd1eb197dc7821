-- Puts one dead letter back into its queue: first there, then away, so that no failure loses it.
-- KEYS: the queue, the dead letters, the dead letters of each tier. ARGV: the id; the element, or the fields of an entry.
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
if #ARGV == 2 then
  redis.call('LPUSH', KEYS[1], ARGV[2])
else
  redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
end
redis.call('HDEL', KEYS[2], ARGV[1])
for tier = 3, #KEYS do redis.call('ZREM', KEYS[tier], ARGV[1]) end
return 1
