-- control/renew_holders: renew some holders in every queue that they hold.
-- KEYS  see consumers
-- ARGV  now, ttl, holder...
-- Returns nothing.
-- include consumers
local ends = clock(ARGV[1]) + tonumber(ARGV[2])
for i = 3, #ARGV do
  for _, queue in ipairs(queues_of(ARGV[i])) do
    redis.call('ZREM', HOLDER_ENDS, ARGV[i] .. '\0' .. queue)
    redis.call('ZADD', HOLDER_ENDS, ends, ARGV[i] .. '\0' .. queue)
    expire_after(queue, ends)
  end
end
