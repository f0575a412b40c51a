-- include extend_expiry
-- hold_claim: let a claim hold messages, besides those that it holds already.
-- KEYS  those of settle
local function hold_claim(claim_of, now, seconds, taken)
  local members, ends = {}, now + seconds
  for index, id in ipairs(taken) do members[2 * index - 1], members[2 * index] = 0, id .. claim_of end
  batched('ZADD', CLAIMED, members)
  local lease = redis.call('HGET', CLAIMS, claim_of)
  local before = lease and string.sub(lease, 17) or ''
  redis.call('ZADD', CLAIM_ENDS, string.format('%.6f', ends), claim_of)
  redis.call('HSET', CLAIMS, claim_of, struct.pack('>dd', now, seconds) .. before .. table.concat(taken))
  redis.call('HINCRBY', CLAIMS, claim_of .. '#', #taken)
  lower_deadline(redis.call('HGET', QUEUE, 'next'), ends)
end

