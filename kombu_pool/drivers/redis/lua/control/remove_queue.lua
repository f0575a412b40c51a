-- control/remove_queue: remove one queue's lifetime and its holders.
-- KEYS  see consumers
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
