-- get_claim: read a claim and its messages.
-- KEYS  see queue
-- ARGV  now, claim
-- Returns {start and ttl (two doubles), ids that it holds (joined), records, claim counts, now}; false when it has
--   ended, or there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local stored = redis.call('HGET', CLAIMS, ARGV[2])
if not stored then return false end
local ids = {}
for index, member in ipairs(members_of(ARGV[2])) do ids[index] = string.sub(member, 1, 8) end
if #ids == 0 then return false end
return {string.sub(stored, 1, 16), table.concat(ids), lookup('HMGET', RECORDS, ids),
  lookup('HMGET', CLAIM_COUNTS, ids), string.format('%.6f', now)}
