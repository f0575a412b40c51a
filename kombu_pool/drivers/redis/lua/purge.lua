-- purge: delete every message that is not claimed. The claimed ones, the fewer, are read first and restored after.
-- KEYS  see queue
-- ARGV  now
-- Returns how many; false when there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
local state = advance(ARGV[1])
if state ~= 'current' then return state end
local count = redis.call('ZCARD', FREE) + redis.call('ZCARD', DELAYED)
if count == 0 then return 0 end
local ids = {}
for index, member in ipairs(redis.call('ZRANGE', CLAIMED, 0, -1)) do ids[index] = string.sub(member, 1, 8) end

local function kept(command, key)
  return #ids > 0 and lookup(command, key, ids) or {}
end

-- restore: add what was read again, as (id, value), or for a zset as (value, id).
local function restore(command, key, found)
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

local records, expiring, claim_counts = kept('HMGET', RECORDS), kept('ZMSCORE', EXPIRING), kept('HMGET', CLAIM_COUNTS)
local keys, keyed = kept('HMGET', MESSAGE_KEYS), {}
redis.call('UNLINK', RECORDS, FREE, DELAYED, EXPIRING, CLAIM_COUNTS, MESSAGE_KEYS, BY_KEY)
if counts_bytes then redis.call('HSET', QUEUE, 'free_bytes', 0) end
restore('HSET', RECORDS, records)
restore('ZADD', EXPIRING, expiring)
restore('HSET', CLAIM_COUNTS, claim_counts)
for index, id in ipairs(ids) do
  if keys[index] then keyed[#keyed + 1], keyed[#keyed + 2] = id, keys[index] end
end
if #keyed > 0 then add_keys(keyed) end
return count
