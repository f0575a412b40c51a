-- live_claims: list the claims that hold the first claimed messages.
-- KEYS  see queue
-- ARGV  now, limit
-- Returns {those messages, each with its claim, claims (joined), their beginnings: start, ttl and tag of the holder, how
--   many messages each holds, now}; false when there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local limit, claims, fields, known = tonumber(ARGV[2]), {}, {}, {}
local members = limit > 0 and redis.call('ZRANGE', CLAIMED, 0, limit - 1) or {}
for _, member in ipairs(members) do
  local claim = string.sub(member, 9)
  if not known[claim] then
    known[claim] = true
    claims[#claims + 1] = claim
    fields[#fields + 1] = claim .. '#'
  end
end
local beginnings = {}
for index, claim in ipairs(claims) do
  beginnings[index] = string.sub(redis.call('HGET', CLAIMS, claim), 1, CLAIM_BYTES)
end
local counts = #fields > 0 and lookup('HMGET', CLAIMS, fields) or {}
return {members, table.concat(claims), beginnings, counts, string.format('%.6f', now)}
