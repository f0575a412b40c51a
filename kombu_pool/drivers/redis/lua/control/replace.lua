-- control/replace: replace one queue's assignment, if it is the one that was found and the queue has not expired.
-- KEYS  see lives
-- ARGV  now, queue, the assignment that was found, the new one
-- Returns {1, ''} when it was replaced, {0, ''} when not, {0, pool} when a pool that the new one adds does not exist.
-- include lives
local queue, found, changed = ARGV[2], ARGV[3], ARGV[4]
local _, _, before, stored, move = find(queue)
if stored ~= found or has_expired(queue, clock(ARGV[1])) then return {0, ''} end
local known, pools = {}, pools_of(before, move)
for _, pool in ipairs(pools) do known[pool] = true end
local after, moves = string.match(changed, '^%Z*%z%Z*%z(%z%Z*)(.*)$')
local others = pools_of(after, moves)
for _, pool in ipairs(others) do
  if not known[pool] and redis.call('HEXISTS', REGISTRY, pool) == 0 then return {0, pool} end
end

-- Removed first: see OUT OF MEMORY in states.
redis.call('SREM', MOVES, queue)
redis.call('HSET', ASSIGNMENTS, queue, changed)
if moves ~= '' then redis.call('SADD', MOVES, queue) end
count_queues(others, 1)
count_queues(pools, -1)
return {1, ''}
