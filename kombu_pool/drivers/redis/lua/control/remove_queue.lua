-- control/remove_queue: forget one queue's lifetime and its holders.
-- KEYS  1 lifetime by queue (hash)    2 last use by queue (hash)    3 queues by when they may be abandoned (zset)
--       4 holders by queue (zset)    5 queues by holder (zset)    6 holders by when they die (zset)
-- ARGV  now, queue's member
-- Returns nothing.
-- include consumers
local queue = ARGV[2]
redis.call('HDEL', LIFETIMES, queue)
redis.call('HDEL', LAST_USED, queue)
redis.call('ZREM', MAY_EXPIRE, queue)
for _, holder in ipairs(holders_of(queue)) do
  remove_holder(holder, queue)
end
