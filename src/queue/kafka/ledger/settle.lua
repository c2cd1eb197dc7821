-- Notes what became of jobs under keys that this gateway has claimed; keys that stand for others by now are left alone.
--
-- KEYS: the keys. ARGV: per key what it was claimed with, and what it stands for now, or '' where it is free again.
for index, key in ipairs(KEYS) do
  local claimed, now = ARGV[2 * index - 1], ARGV[2 * index]
  if redis.call('GET', key) == claimed then
    if now == '' then redis.call('DEL', key) else redis.call('SET', key, now, 'KEEPTTL') end
  end
end
return #KEYS
