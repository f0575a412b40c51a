-- end_claims: end the claims of one holder, except some, as if their time were over. Reads the claims of all holders.
-- KEYS  see queue
-- ARGV  now, tag of the holder, joined ids of the claims that go on
-- Returns {how many messages became free, 1 when the script must run again}; false when there is no such queue;
--   'advance' or 'take_dead': see states.
-- include queue
local state = advance(ARGV[1])
if state ~= 'current' then return state end
local kept = {}
for _, id in ipairs(split(ARGV[3])) do kept[id] = true end
local first, freed, budget, STEP = 0, 0, BUDGET, 100

-- end_claim: end a claim if it is the holder's; whether it was.
local function end_claim(claim, stored)
  if not stored or kept[claim] or string.sub(stored, 17, CLAIM_BYTES) ~= ARGV[2] then return false end
  local members = members_of(claim)
  release(members, claim, 1)
  delete_claim(claim)
  freed, budget = freed + #members, budget - #members - 1
  return true
end

repeat
  local claims = redis.call('ZRANGE', CLAIM_ENDS, first, first + STEP - 1)
  local stored = #claims > 0 and redis.call('HMGET', CLAIMS, unpack(claims))
  for index, claim in ipairs(claims) do
    if not end_claim(claim, stored[index]) then first = first + 1 end
  end
until #claims < STEP or budget <= 0
if freed > 0 and not paused then wake(QUEUE, WAKEUP) end
return {freed, budget <= 0 and 1 or 0}
