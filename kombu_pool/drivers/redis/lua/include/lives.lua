-- lives: the assignments of queues and their records, along with their lifetimes and holders.
-- KEYS  those of consumers, then assignment by queue (hash), queues by name (zset) without those that are DELETING,
--   queues that are DELETING (set), number of queues by pool (hash), record by queue (hash), recorded queues by name
--   (zset), registry (hash: a field for each pool), counters by queue (hash: MessagePack maps)
-- include consumers
local ASSIGNMENTS, QUEUE_NAMES, DELETING, QUEUE_COUNTS, RECORDS, RECORD_NAMES, REGISTRY, COUNTERS = unpack(KEYS, 7)
-- include assignments
local function set_assignment(queue, state, incarnation, pool)
  redis.call('HSET', ASSIGNMENTS, queue, table.concat({state, incarnation, pool}, '\0'))
end

-- count_queue: count one queue more (1) or less (-1) of a pool.
local function count_queue(pool, change)
  if redis.call('HINCRBY', QUEUE_COUNTS, pool, change) == 0 then redis.call('HDEL', QUEUE_COUNTS, pool) end
end

-- begin_deletion: make an assignment DELETING, and remove the queue's record, lifetime, holders and counters.
local function begin_deletion(queue, incarnation, pool)
  -- Removed first: see OUT OF MEMORY in states.
  redis.call('HDEL', RECORDS, queue)
  redis.call('HDEL', COUNTERS, queue)
  redis.call('ZREM', RECORD_NAMES, queue)
  redis.call('ZREM', QUEUE_NAMES, queue)
  forget(queue)
  set_assignment(queue, 'deleting', incarnation, pool)
  redis.call('SADD', DELETING, queue)
end
