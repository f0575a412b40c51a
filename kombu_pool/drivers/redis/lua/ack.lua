-- ack: delete messages under the claims that hold them.
-- include clock
-- include batches
-- KEYS  1 records (hash)  2 free (zset)  3 delayed (zset)  4 expiring (zset)  5 claimed (zset)  6 claims (zset)
--       7 leases (hash)  8 lent (hash)
-- ARGV  now, then for each claim its id and the ids of the messages (joined, each once)
-- Returns for each claim '' when all were deleted, else the ids of those that were not (joined).
local now = clock(ARGV[1])

-- sort_out: which of the messages the claim held until just now; the others are free, delayed, gone or another's.
local function sort_out(ids)
  local mine, refused = {}, {}
  for _, id in ipairs(ids) do
    local elsewhere = redis.call('HEXISTS', KEYS[1], id) == 0 or redis.call('ZSCORE', KEYS[2], id)
      or redis.call('ZSCORE', KEYS[3], id)
      or #redis.call('ZRANGEBYLEX', KEYS[5], '[' .. id, '(' .. id .. string.rep('\255', 9)) > 0
    local list = elsewhere and refused or mine
    list[#list + 1] = id
  end
  return mine, refused
end

local function ack(claim, joined)
  local ends = redis.call('ZSCORE', KEYS[6], claim)
  if not ends or tonumber(ends) <= now then return joined end
  local ids, members, refused = split(joined), {}, {}
  for index, id in ipairs(ids) do members[index] = id .. claim end
  local removed = batched('ZREM', KEYS[5], members)
  if removed < #ids then ids, refused = sort_out(ids) end
  if #ids > 0 then
    batched('HDEL', KEYS[1], ids)
    if redis.call('ZCARD', KEYS[4]) > 0 then batched('ZREM', KEYS[4], ids) end
    if redis.call('HLEN', KEYS[8]) > 0 then batched('HDEL', KEYS[8], ids) end
    if redis.call('HINCRBY', KEYS[7], claim .. '#', -#ids) <= 0 then
      redis.call('HDEL', KEYS[7], claim, claim .. '#')
      redis.call('ZREM', KEYS[6], claim)
    end
  end
  return table.concat(refused)
end

local answers = {}
for index = 2, #ARGV, 2 do answers[#answers + 1] = ack(ARGV[index], ARGV[index + 1]) end
return answers
