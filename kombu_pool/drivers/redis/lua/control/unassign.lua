-- control/unassign: remove one queue's assignment.
-- KEYS  see lives
-- ARGV  now, queue, then the incarnation that it must have if it must have one, and be DELETING
-- Returns nothing.
-- include lives
local queue = ARGV[2]
local state, incarnation, pool, _, move = find(queue)
if not state or (ARGV[3] and (incarnation ~= ARGV[3] or state ~= 'deleting')) then
  return
end
redis.call('HDEL', ASSIGNMENTS, queue)
redis.call('HDEL', COUNTERS, queue)
redis.call('ZREM', QUEUE_NAMES, queue)
redis.call('SREM', DELETING, queue)
if move ~= '' then redis.call('SREM', MOVES, queue) end
count_queues(pools_of(pool, move), -1)
