-- control/deletions: read assignments that are DELETING. Up to a limit they are a random choice, so that queues whose
-- deletion fails keep no other from its own.
-- KEYS  assignment by queue (hash), queues that are DELETING (set)
-- ARGV  limit: at most a few thousands
-- Returns the queues and their assignments.
local ASSIGNMENTS, DELETING = unpack(KEYS)
local queues = redis.call('SRANDMEMBER', DELETING, ARGV[1])
if #queues == 0 then
  return {{}, {}}
end
return {queues, redis.call('HMGET', ASSIGNMENTS, unpack(queues))}
