-- control/assign: assign one queue to one pool.
-- KEYS  pool's member by queue's (hash), queues by name (zset), number of queues by pool's member (hash), registry
--   (hash: a field for each pool's member)
-- ARGV  queue's member, pool's member, "absent" to keep an existing assignment, "present" to require one, or "" to
--   take any pool, even one that does not exist
-- Returns {"unmapped", ""}, {"pool", ""} when there is no such pool, or {"", member of the pool that is assigned now}.
local POOL_OF_QUEUE, QUEUE_NAMES, QUEUE_COUNTS, REGISTRY = unpack(KEYS)
local assigned = redis.call('HGET', POOL_OF_QUEUE, ARGV[1])
if assigned and ARGV[3] == 'absent' then
  return {'', assigned}
end
if not assigned and ARGV[3] == 'present' then
  return {'unmapped', ''}
end
if ARGV[3] ~= '' and redis.call('HEXISTS', REGISTRY, ARGV[2]) == 0 then
  return {'pool', ''}
end

redis.call('HSET', POOL_OF_QUEUE, ARGV[1], ARGV[2])
redis.call('ZADD', QUEUE_NAMES, 0, ARGV[1])
redis.call('HINCRBY', QUEUE_COUNTS, ARGV[2], 1)
if assigned and redis.call('HINCRBY', QUEUE_COUNTS, assigned, -1) == 0 then
  redis.call('HDEL', QUEUE_COUNTS, assigned)
end
return {'', ARGV[2]}
