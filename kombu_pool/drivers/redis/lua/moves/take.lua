-- moves/take: put the first free and delayed messages aside, or return those that are put aside already.
-- KEYS  see aside
-- ARGV  now, incarnation that the queue must bear, limit, '1' for delayed messages only
-- Returns messages and what ASIDE has of them in turn, in no order, and between them what it has of unique ids; 'absent'
--   when there is no queue, 'another' when it bears another incarnation; 'advance' or 'take_dead': see states.
-- include aside
local state, now = advance(ARGV[1], ARGV[2])
if not state then return absence() end
local aside = redis.call('HGETALL', ASIDE)
if #aside > 0 then return aside end
if state ~= 'current' then return state end

local limit = tonumber(ARGV[3])
local ids, size, MAX_BYTES = {}, 0, 8 * 1024 * 1024

-- choose: the first of some messages: one at least, up to MAX_BYTES together with those that were chosen before.
local function choose(some)
  local chosen = {}
  for _, id in ipairs(some) do
    size = size + redis.call('HSTRLEN', RECORDS, id)
    if #ids > 0 and size > MAX_BYTES then break end
    ids[#ids + 1], chosen[#chosen + 1] = id, id
  end
  return chosen
end

local free = choose(ARGV[4] ~= '1' and redis.call('ZRANGE', FREE, 0, limit - 1) or {})
local delayed = choose(#free < limit and redis.call('ZRANGE', DELAYED, 0, limit - #free - 1) or {})
if #ids == 0 then return {} end

-- hold_of: the id that a message holds and its scope; '' twice if none, or for a number of seconds.
local function hold_of(id, value)
  local _, name = split_key(value or '')
  local stored = name and redis.call('HGET', QUEUE, '~' .. name)
  if not stored or string.sub(stored, 10, 17) ~= id then return '', '' end
  local scope = string.sub(stored, 9, 9)
  if scope == 's' then return '', '' end
  redis.call('HDEL', QUEUE, '~' .. name)
  aside[#aside + 1], aside[#aside + 2] = HOLD .. name, string.sub(stored, 10)
  return name, scope
end

local records, claim_counts = lookup('HMGET', RECORDS, ids), lookup('HMGET', CLAIM_COUNTS, ids)
local expiries, dues = lookup('ZMSCORE', EXPIRING, ids), lookup('ZMSCORE', DELAYED, ids)
local keys = lookup('HMGET', MESSAGE_KEYS, ids)
for index, id in ipairs(ids) do
  if records[index] then
    local name, scope = hold_of(id, keys[index])
    local count = claim_counts[index] and string.match(claim_counts[index], '^%d+') or '0'
    local front = table.concat({index, count, expiries[index] or '', dues[index] or '', scope, #name}, ':')
    aside[#aside + 1], aside[#aside + 2] = id, front .. ':' .. name .. records[index]
  end
end
-- Removed first: see OUT OF MEMORY in states.
if #free > 0 then batched('ZREM', FREE, free) end
if #delayed > 0 then batched('ZREM', DELAYED, delayed) end
count_bytes(free, -1)
batched('ZREM', EXPIRING, ids)
batched('HDEL', CLAIM_COUNTS, ids)
delete_keys(ids)
batched('HDEL', RECORDS, ids)
if #aside > 0 then batched('HSET', ASIDE, aside) end
if WAKEUP and redis.call('ZCARD', FREE) == 0 then redis.call('DEL', WAKEUP) end
return aside
