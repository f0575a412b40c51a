-- pause: let no consumer claim from a queue, or let them claim again and wake its watches.
-- KEYS  QUEUE and WAKEUP: see queue; a Redis Cluster has no WAKEUP
-- ARGV  '1' to pause the queue, '' to resume it
-- Returns 1, or 0 when there is no such queue.
-- include wakeup
local QUEUE, WAKEUP = unpack(KEYS)
if redis.call('EXISTS', QUEUE) == 0 then return 0 end
redis.call('HDEL', QUEUE, 'paused')
if ARGV[1] == '' then
  wake(QUEUE, WAKEUP)
else
  redis.call('HSET', QUEUE, 'paused', 1)
  if WAKEUP then redis.call('DEL', WAKEUP) end
end
return 1
