-- assignments: the assignments of queues. The includer names the KEYS: ASSIGNMENTS (hash): queue -> assignment.
-- Queues and pools are named by their members. An assignment is its state, its incarnation and its pool, a NUL between
-- two.

-- find: the state, the incarnation and the pool of a queue's assignment, and this as it is stored; nil without one.
local function find(queue)
  local stored = redis.call('HGET', ASSIGNMENTS, queue)
  if not stored then return nil end
  local state, incarnation, pool = string.match(stored, '^(%Z*)%z(%Z*)%z(.*)$')
  return state, incarnation, pool, stored
end

