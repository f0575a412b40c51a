-- acknowledge: delete messages under the claims that hold them. Advances no state: a claim past its end refuses.
-- The includer has the keys RECORDS to BY_KEY, message_keys, the time in `now`, and the list `answers`.
-- ARGV  from `first` on: for each claim its id and the ids of the messages (joined, each once)
-- Adds for each claim '' when all were deleted, else the ids of those that were not (joined).

-- partition: messages that the claim held until this run, and the others: free, delayed, deleted or claimed again.
local function partition(ids)
  local held, refused = {}, {}
  for _, id in ipairs(ids) do
    local elsewhere = redis.call('HEXISTS', RECORDS, id) == 0 or redis.call('ZSCORE', FREE, id)
      or redis.call('ZSCORE', DELAYED, id)
      or #redis.call('ZRANGEBYLEX', CLAIMED, '[' .. id, '(' .. id .. string.rep('\255', 9)) > 0
    local list = elsewhere and refused or held
    list[#list + 1] = id
  end
  return held, refused
end

for index = first, #ARGV, 2 do
  local claim, answer = ARGV[index], ARGV[index + 1]
  local ends = redis.call('ZSCORE', CLAIM_ENDS, claim)
  if ends and tonumber(ends) > now then
    local ids, members, refused = split(answer), {}, {}
    for position, id in ipairs(ids) do members[position] = id .. claim end
    if batched('ZREM', CLAIMED, members) < #ids then ids, refused = partition(ids) end
    if #ids > 0 then
      batched('HDEL', RECORDS, ids)
      delete_keys(ids)
      if redis.call('ZCARD', EXPIRING) > 0 then batched('ZREM', EXPIRING, ids) end
      if redis.call('HLEN', CLAIM_COUNTS) > 0 then batched('HDEL', CLAIM_COUNTS, ids) end
      if redis.call('HINCRBY', CLAIMS, claim .. '#', -#ids) <= 0 then
        redis.call('HDEL', CLAIMS, claim, claim .. '#')
        redis.call('ZREM', CLAIM_ENDS, claim)
      end
    end
    answer = table.concat(refused)
  end
  answers[#answers + 1] = answer
end
