-- renew: let a claim end `ttl` seconds from now.
-- KEYS  see queue
-- ARGV  now, claim, ttl, grace
-- Returns 1; false when the claim has ended, or there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
-- include extend_expiry
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local claim, ttl, grace = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local stored = redis.call('HGET', CLAIMS, claim)
if not stored then return false end
local ends = now + ttl
-- Removed first: see OUT OF MEMORY in states.
redis.call('ZREM', CLAIM_ENDS, claim)
redis.call('ZADD', CLAIM_ENDS, string.format('%.6f', ends), claim)
redis.call('HSET', CLAIMS, claim, struct.pack('>dd', now, ttl) .. string.sub(stored, 17))
lower_deadline(redis.call('HGET', QUEUE, 'next'), ends)
if redis.call('ZCARD', EXPIRING) > 0 then
  local ids = {}
  for index, member in ipairs(members_of(claim)) do ids[index] = string.sub(member, 1, 8) end
  if #ids > 0 then extend_expiry(ids, ends, ttl, grace) end
end
return 1
