-- control/assign: assign one queue to one pool.
-- KEYS  1 pool's member by queue's (hash)    2 queues by name (zset)    3 number of queues by pool's member (hash)
--       4 pools by member (hash)
-- ARGV  queue's member, pool's member, "absent" to leave an assigned queue where it is, "present" to refuse another
-- Returns {"unmapped", ""}, {"pool", ""} when there is no such pool, or {"", member of the pool assigned to now}.
local assigned = redis.call('HGET', KEYS[1], ARGV[1])
if assigned and ARGV[3] == 'absent' then
  return {'', assigned}
end
if not assigned and ARGV[3] == 'present' then
  return {'unmapped', ''}
end
if redis.call('HEXISTS', KEYS[4], ARGV[2]) == 0 then
  return {'pool', ''}
end

redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
if assigned and redis.call('HINCRBY', KEYS[3], assigned, -1) == 0 then
  redis.call('HDEL', KEYS[3], assigned)
end
return {'', ARGV[2]}
