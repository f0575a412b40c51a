-- dead_letters: keep what is dead until it is buried. What includes this, behind settle, has as KEYS those of settle, but
-- before the bell
--   10 dead (zset): the number of a death and the message -> when its parking ends; 0 when nobody is at it
--   11 letters (hash): the same -> 'reason:count:expiry:' and the message's record
-- and behind the bell, as a cluster has not
--   13 dying (zset): queue -> when somebody is to look there for what is dead
-- The queue's hash has, while there are any, `died`: the number of the last death, and `due`: when to bury.
local QUEUE, RECORDS, FREE, DELAYED, EXPIRING, CLAIMED, CLAIM_ENDS, CLAIMS, CLAIM_COUNTS,
  DEAD, DEAD_LETTERS, WAKEUP, QUEUES_WITH_DEAD = unpack(KEYS)
-- include states
local MEMBER = 16

local function note_dead_due(at)
  if QUEUES_WITH_DEAD then redis.call('ZADD', QUEUES_WITH_DEAD, 'LT', string.format('%.6f', at), QUEUE) end
end

local function set_due(at)
  dead_due = at
  redis.call('HSET', QUEUE, 'dead_due', string.format('%.6f', at))
end

mark_dead = function(ids, reason)
  local records, claim_counts = lookup('HMGET', RECORDS, ids), lookup('HMGET', CLAIM_COUNTS, ids)
  local expiries, counts = lookup('ZMSCORE', EXPIRING, ids), {}
  for index, id in ipairs(ids) do
    local count = claim_counts[index] and tonumber(string.match(claim_counts[index], '^%d+')) or 0
    counts[index] = count + (claim_of(id) and 1 or 0)
  end
  delete_messages(ids)
  local first, number = first_score(DEAD), tonumber(redis.call('HGET', QUEUE, 'last_dead') or 0)
  local dead, letters = {}, {}
  for index, id in ipairs(ids) do
    if records[index] then
      number = number + 1
      local member = struct.pack('>I8', number) .. id
      dead[#dead + 1], dead[#dead + 2] = 0, member
      letters[#letters + 1] = member
      letters[#letters + 1] = string.format('%s:%d:%s:', reason, counts[index], expiries[index] or '') .. records[index]
    end
  end
  if #dead == 0 then return end
  batched('ZADD', DEAD, dead)
  batched('HSET', DEAD_LETTERS, letters)
  redis.call('HSET', QUEUE, 'last_dead', string.format('%.0f', number))
  -- Where those before could not be buried just now, these have to wait with them.
  if not dead_due or first ~= 0 then set_due(0) end
  note_dead_due(0)
end

-- arrange: note when to look next, after something was done about the dead; `again`: when what waits is tried again.
local function schedule(again)
  local first = first_score(DEAD)
  if first then
    set_due(first > 0 and first or again or 0)
  else
    redis.call('HDEL', QUEUE, 'last_dead', 'dead_due')
    dead_due = nil
  end
  if not QUEUES_WITH_DEAD then return end
  local expiry = expires_to_dlq() and first_score(EXPIRING)
  if expiry and (not first or expiry < first) then first = expiry end
  redis.call('ZREM', QUEUES_WITH_DEAD, QUEUE)
  if first then note_dead_due(first) end
end

-- park: let the dead wait until then; 0: until somebody takes them.
local function reserve(members, till)
  local scored = {}
  for index, member in ipairs(members) do
    scored[2 * index - 1], scored[2 * index] = string.format('%.6f', till), member
  end
  if #scored > 0 then
    table.insert(scored, 1, 'XX')
    redis.call('ZADD', DEAD, unpack(scored))
  end
end

-- forget_dead: they are buried.
local function delete_dead(members)
  if #members == 0 then return end
  batched('ZREM', DEAD, members)
  batched('HDEL', DEAD_LETTERS, members)
end

