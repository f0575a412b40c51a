-- renew: let claims end `ttl` seconds from now.
-- KEYS  see queue
-- ARGV  now, claims (joined), ttl, grace
-- Returns the places of those that have ended; false when there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
-- include extend_expiry
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local claims, ttl, grace = split(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local ends, times = now + ttl, struct.pack('>dd', now, ttl)
local score, stored = string.format('%.6f', ends), lookup('HMGET', CLAIMS, claims)
local scores, records, ended, renewed = {}, {}, {}, {}
for index, claim in ipairs(claims) do
  -- With a ttl of 0 the first renewal ends a claim that is named twice.
  if stored[index] and not (ttl <= 0 and renewed[claim]) then
    renewed[claim] = true
    scores[#scores + 1], scores[#scores + 2] = score, claim
    records[#records + 1], records[#records + 2] = claim, times .. string.sub(stored[index], 17)
  else
    ended[#ended + 1] = index - 1
  end
end
if #scores == 0 then return ended end

-- sooner: the messages of the claims that would expire before them.
local function sooner()
  local ids, holders, found = {}, {}, {}
  for index, claim in ipairs(claims) do
    for _, id in ipairs(stored[index] and split(string.sub(stored[index], CLAIM_BYTES + 1)) or {}) do
      ids[#ids + 1], holders[#holders + 1] = id, claim
    end
  end
  for index, expiry in ipairs(lookup('ZMSCORE', EXPIRING, ids)) do
    if expiry and tonumber(expiry) < ends and redis.call('ZSCORE', CLAIMED, ids[index] .. holders[index]) then
      found[#found + 1] = ids[index]
    end
  end
  return found
end

-- Changes nothing, but counts as a removal: see OUT OF MEMORY in states.
redis.call('HDEL', QUEUE, '')
batched('ZADD', CLAIM_ENDS, scores)
batched('HSET', CLAIMS, records)
lower_deadline(redis.call('HGET', QUEUE, 'next'), ends)
if redis.call('ZCARD', EXPIRING) > 0 then
  local ids = sooner()
  if #ids > 0 then extend_expiry(ids, ends, ttl, grace) end
end
return ended
