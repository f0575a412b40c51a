-- ack: delete messages under the claims that hold them. Advances no state: a claim past its end refuses.
-- KEYS  RECORDS to CLAIM_COUNTS: see queue
-- ARGV  now, then for each claim its id and the ids of the messages (joined, each once)
-- Returns for each claim '' when all were deleted, else the ids of those that were not (joined).
local RECORDS, FREE, DELAYED, EXPIRING, CLAIMED, CLAIM_ENDS, CLAIMS, CLAIM_COUNTS = unpack(KEYS)
-- include clock
-- include batches
local now = clock(ARGV[1])

-- sort_out: which of the messages the claim held until just now; the others are free, delayed, gone or another's.
local function partition(ids)
  local mine, refused = {}, {}
  for _, id in ipairs(ids) do
    local elsewhere = redis.call('HEXISTS', RECORDS, id) == 0 or redis.call('ZSCORE', FREE, id)
      or redis.call('ZSCORE', DELAYED, id)
      or #redis.call('ZRANGEBYLEX', CLAIMED, '[' .. id, '(' .. id .. string.rep('\255', 9)) > 0
    local list = elsewhere and refused or mine
    list[#list + 1] = id
  end
  return mine, refused
end

local function ack(claim, joined)
  local ends = redis.call('ZSCORE', CLAIM_ENDS, claim)
  if not ends or tonumber(ends) <= now then return joined end
  local ids, members, refused = split(joined), {}, {}
  for index, id in ipairs(ids) do members[index] = id .. claim end
  local removed = batched('ZREM', CLAIMED, members)
  if removed < #ids then ids, refused = partition(ids) end
  if #ids > 0 then
    batched('HDEL', RECORDS, ids)
    if redis.call('ZCARD', EXPIRING) > 0 then batched('ZREM', EXPIRING, ids) end
    if redis.call('HLEN', CLAIM_COUNTS) > 0 then batched('HDEL', CLAIM_COUNTS, ids) end
    if redis.call('HINCRBY', CLAIMS, claim .. '#', -#ids) <= 0 then
      redis.call('HDEL', CLAIMS, claim, claim .. '#')
      redis.call('ZREM', CLAIM_ENDS, claim)
    end
  end
  return table.concat(refused)
end

local answers = {}
for index = 2, #ARGV, 2 do answers[#answers + 1] = ack(ARGV[index], ARGV[index + 1]) end
return answers
