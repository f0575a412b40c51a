-- control/renew_holders: let some holders live on, in every queue that they hold.
-- KEYS  1 lifetime by queue (hash)    2 last use by queue (hash)    3 queues by when they may be abandoned (zset)
--       4 holders by queue (zset)    5 queues by holder (zset)    6 holders by when they die (zset)
-- ARGV  now, ttl, holder...
-- Returns nothing.
-- include clock
-- include consumers
local dies = clock(ARGV[1]) + tonumber(ARGV[2])
for i = 3, #ARGV do
  for _, queue in ipairs(queues_of(ARGV[i])) do
    redis.call('ZREM', HOLDER_ENDS, ARGV[i] .. '\0' .. queue)
    redis.call('ZADD', HOLDER_ENDS, dies, ARGV[i] .. '\0' .. queue)
    expire_after(queue, dies)
  end
end
