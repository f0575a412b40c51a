-- keyed: the messages with a key, and the form in which scripts return them.

-- with_key: the ids of the messages with a key, in the order of their ids.
local function with_key(key)
  local ids, front = {}, key .. '\0'
  for _, member in ipairs(redis.call('ZRANGEBYLEX', BY_KEY, '[' .. front, '(' .. key .. '\1')) do
    -- Others have a longer key, which begins with this one and a NUL.
    if #member == #front + 8 then ids[#ids + 1] = string.sub(member, -8) end
  end
  return ids
end

-- waiting_and_claimed: these ids, divided.
local function waiting_and_claimed(ids)
  local waiting, claimed = {}, {}
  for _, id in ipairs(ids) do
    local list = claim_of(id) and claimed or waiting
    list[#list + 1] = id
  end
  return waiting, claimed
end

-- to_reply: {ids (joined), records, claim counts, claims that hold them, ends of their delays, now}.
local function to_reply(ids, now)
  if #ids == 0 then return {'', {}, {}, {}, {}, ''} end
  local holders = {}
  for index, id in ipairs(ids) do holders[index] = claim_of(id) or false end
  return {table.concat(ids), lookup('HMGET', RECORDS, ids), lookup('HMGET', CLAIM_COUNTS, ids), holders,
    lookup('ZMSCORE', DELAYED, ids), string.format('%.6f', now)}
end
