-- control/assign: assign one queue to one pool, with a new incarnation.
-- KEYS  see lives
-- ARGV  now, queue, pool, incarnation, state, the assignment that may be replaced or '', seconds of the lease of a
--   queue without a record or '', 1 to replace any assignment, by one to any pool, even one that does not exist
-- Returns {'', 1} when it was assigned, {assignment, 0} when another one stays, {'', 0} when there is no such pool.
-- include lives
local queue, pool, incarnation, lease = ARGV[2], ARGV[3], ARGV[4], ARGV[7]
local state, present, assigned, stored, move = find(queue)
if ARGV[8] ~= '1' then
  -- It is there with the new incarnation if the answer to the first run was lost.
  local may_replace = state ~= 'deleting' and (stored == ARGV[6] or present == incarnation)
  if state and not may_replace then return {stored, 0} end
  if redis.call('HEXISTS', REGISTRY, pool) == 0 then return {'', 0} end
end

set_assignment(queue, ARGV[5], incarnation, pool, '')
redis.call('ZADD', QUEUE_NAMES, 0, queue)
redis.call('SREM', DELETING, queue)
count_queue(pool, 1)
if assigned then count_queues(pools_of(assigned, move), -1) end
if move and move ~= '' then redis.call('SREM', MOVES, queue) end
if lease ~= '' and redis.call('HEXISTS', RECORDS, queue) == 0 then set_lifetime(queue, lease, clock(ARGV[1])) end
return {'', 1}
