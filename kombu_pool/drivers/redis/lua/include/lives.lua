-- lives: the assignments of queues and their records, along with their lifetimes and holders.
-- KEYS  those of consumers, then assignment by queue (hash), queues by name (zset) without those that are DELETING,
--   queues that are DELETING (set), number of queues by pool (hash), record by queue (hash), recorded queues by name
--   (zset), registry (hash: a field for each pool), counters by queue (hash: MessagePack maps), queues with a move (set)
-- include consumers
local ASSIGNMENTS, QUEUE_NAMES, DELETING, QUEUE_COUNTS, RECORDS, RECORD_NAMES, REGISTRY, COUNTERS, MOVES =
  unpack(KEYS, 7)
-- include assignments
-- set_assignment: `move` is what follows the pool.
local function set_assignment(queue, state, incarnation, pool, move)
  redis.call('HSET', ASSIGNMENTS, queue, table.concat({state, incarnation, pool}, '\0') .. move)
end

-- count_queue: count one queue more (1) or less (-1) of a pool.
local function count_queue(pool, change)
  if redis.call('HINCRBY', QUEUE_COUNTS, pool, change) == 0 then redis.call('HDEL', QUEUE_COUNTS, pool) end
end

-- pools_of: the pools of an assignment, each once.
local function pools_of(pool, move)
  if move == '' then return {pool} end
  local pools, seen = {pool}, {[pool] = true}
  local source, target = string.match(move, '^(%z%Z*)(%z%Z*)%z')
  for _, other in ipairs({source, target}) do
    if other ~= '\0' and not seen[other] then pools[#pools + 1], seen[other] = other, true end
  end
  return pools
end

local function count_queues(pools, change)
  for _, pool in ipairs(pools) do count_queue(pool, change) end
end

-- begin_deletion: make an assignment DELETING, and remove the queue's record, lifetime, holders and counters. A move
-- stays.
local function begin_deletion(queue, incarnation, pool, move)
  -- Removed first: see OUT OF MEMORY in states.
  redis.call('HDEL', RECORDS, queue)
  redis.call('HDEL', COUNTERS, queue)
  redis.call('ZREM', RECORD_NAMES, queue)
  redis.call('ZREM', QUEUE_NAMES, queue)
  forget(queue)
  set_assignment(queue, 'deleting', incarnation, pool, move)
  redis.call('SADD', DELETING, queue)
end
