-- control/unassign: remove one queue from the catalogue.
-- KEYS  pool's member by queue's (hash), queues by name (zset), number of queues by pool's member (hash)
-- ARGV  queue's member
-- Returns nothing.
local POOL_OF_QUEUE, QUEUE_NAMES, QUEUE_COUNTS = unpack(KEYS)
local assigned = redis.call('HGET', POOL_OF_QUEUE, ARGV[1])
if not assigned then
  return
end
redis.call('HDEL', POOL_OF_QUEUE, ARGV[1])
redis.call('ZREM', QUEUE_NAMES, ARGV[1])
if redis.call('HINCRBY', QUEUE_COUNTS, assigned, -1) == 0 then
  redis.call('HDEL', QUEUE_COUNTS, assigned)
end
