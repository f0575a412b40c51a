-- hold_claim: let a claim hold messages in addition to those that it already holds; `holder` is the tag of its holder.
-- include extend_expiry
local function hold_claim(claim, holder, now, seconds, ids)
  local members, ends = {}, now + seconds
  for index, id in ipairs(ids) do members[2 * index - 1], members[2 * index] = 0, id .. claim end
  batched('ZADD', CLAIMED, members)
  local stored = redis.call('HGET', CLAIMS, claim)
  local before = stored and string.sub(stored, CLAIM_BYTES + 1) or ''
  redis.call('ZADD', CLAIM_ENDS, string.format('%.6f', ends), claim)
  redis.call('HSET', CLAIMS, claim, struct.pack('>dd', now, seconds) .. holder .. before .. table.concat(ids))
  redis.call('HINCRBY', CLAIMS, claim .. '#', #ids)
  lower_deadline(redis.call('HGET', QUEUE, 'next'), ends)
end
