-- purge: forget every message that is not claimed. What stays is put aside meanwhile: it is little, the rest is much.
-- include queue
-- KEYS  those of settle
-- ARGV  now
-- Returns how many went; false when there is no such queue; 'advance' or 'take_dead': run it again.
local state = advance(ARGV[1])
if state ~= 'current' then return state end
local count = redis.call('ZCARD', FREE) + redis.call('ZCARD', DELAYED)
if count == 0 then return 0 end
local ids = {}
for index, member in ipairs(redis.call('ZRANGE', CLAIMED, 0, -1)) do ids[index] = string.sub(member, 1, 8) end

local function kept(command, key)
  return #ids > 0 and lookup(command, key, ids) or {}
end

-- put_back: add what was found again, as (id, value), or for a zset as (value, id).
local function put_back(command, key, found)
  local pairs_of = {}
  for index, id in ipairs(ids) do
    if found[index] then
      local first, second = id, found[index]
      if command == 'ZADD' then first, second = second, first end
      pairs_of[#pairs_of + 1], pairs_of[#pairs_of + 2] = first, second
    end
  end
  if #pairs_of > 0 then batched(command, key, pairs_of) end
end

local records, expiring, lent = kept('HMGET', RECORDS), kept('ZMSCORE', EXPIRING), kept('HMGET', CLAIM_COUNTS)
redis.call('UNLINK', RECORDS, FREE, DELAYED, EXPIRING, CLAIM_COUNTS)
if counts_bytes then redis.call('HSET', QUEUE, 'free_bytes', 0) end
put_back('HSET', RECORDS, records)
put_back('ZADD', EXPIRING, expiring)
put_back('HSET', CLAIM_COUNTS, lent)
return count
