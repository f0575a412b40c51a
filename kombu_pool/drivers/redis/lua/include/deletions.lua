-- deletions: queues that are DELETING, and their assignments. Up to a limit, which is at most a few thousands, they are a
-- random choice, so that queues whose deletion fails keep no other from its own. The includer names ASSIGNMENTS (hash):
-- queue -> assignment, and DELETING (set): these queues.
local function deletions(limit)
  local queues = redis.call('SRANDMEMBER', DELETING, limit)
  if #queues == 0 then return {{}, {}} end
  return {queues, redis.call('HMGET', ASSIGNMENTS, unpack(queues))}
end

