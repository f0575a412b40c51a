-- control/moves: read the assignments of queues with a move; of many, a random choice.
-- KEYS  ASSIGNMENTS (hash): queue -> assignment, MOVES (set): queues with a move
-- ARGV  limit: at most a few thousands
-- Returns the queues and their assignments.
local ASSIGNMENTS, MOVES = unpack(KEYS)
local queues = redis.call('SRANDMEMBER', MOVES, ARGV[1])
if #queues == 0 then return {{}, {}} end
return {queues, redis.call('HMGET', ASSIGNMENTS, unpack(queues))}
