-- assignments: the assignments of queues. The includer names the KEYS: ASSIGNMENTS (hash): queue -> assignment.
-- Queues and pools are named by their members; that of a pool is a NUL and its name. An assignment is its state, its
-- incarnation and its pool, a NUL between two. If the queue has a move, the members of source and target follow, or two
-- NULs once it is over, then a NUL and the move (MessagePack).

-- find: the state, the incarnation and the pool of a queue's assignment, this as it is stored, and what follows the
-- pool; nil without one.
local function find(queue)
  local stored = redis.call('HGET', ASSIGNMENTS, queue)
  if not stored then return nil end
  local state, incarnation, pool, move = string.match(stored, '^(%Z*)%z(%Z*)%z(%z%Z*)(.*)$')
  return state, incarnation, pool, stored, move
end

