-- control/unassign: remove one queue from the catalogue.
-- KEYS  1 pool's member by queue's (hash)    2 queues by name (zset)    3 number of queues by pool's member (hash)
-- ARGV  queue's member
-- Returns nothing.
local assigned = redis.call('HGET', KEYS[1], ARGV[1])
if not assigned then
  return
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HINCRBY', KEYS[3], assigned, -1) == 0 then
  redis.call('HDEL', KEYS[3], assigned)
end
