-- control/add_holder: let one holder of one queue live, and take some away that died so long ago that nobody renews them.
-- KEYS  1 lifetime by queue (hash)    2 last use by queue (hash)    3 queues by when they may be abandoned (zset)
--       4 holders by queue (zset)    5 queues by holder (zset)    6 holders by when they die (zset)
-- ARGV  now, queue's member, holder, ttl, "c" for a consumer or "o" for an owner
-- Returns nothing.
-- include clock
-- include consumers
local LONG_DEAD, AT_ONCE = 86400, 20
local now, queue, holder, kind = clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[5]
local dies = now + tonumber(ARGV[4])
remove_holder(holder, queue)
redis.call('ZADD', HOLDERS, 0, queue .. '\0' .. kind .. '\0' .. holder)
redis.call('ZADD', HELD_QUEUES, 0, holder .. '\0' .. queue)
redis.call('ZADD', HOLDER_ENDS, dies, holder .. '\0' .. queue)
expire_after(queue, dies)

for _, entry in ipairs(redis.call('ZRANGEBYSCORE', HOLDER_ENDS, '-inf', now - LONG_DEAD, 'LIMIT', 0, AT_ONCE)) do
  local dead, left = string.match(entry, '^(%Z*)%z(.*)$')
  end_holder(dead, left, now)
end
