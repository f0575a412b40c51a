-- dead_letters: the keys of the scripts that keep dead messages until they are dead-lettered, and their states.
-- KEYS  as KeySets.dead_lettering and QueueKeys describe them; a Redis Cluster has neither WAKEUP nor QUEUES_WITH_DEAD
--   DEAD (zset): number of the death and message -> end of its reservation; 0 when it is not reserved
--   DEAD_LETTERS (hash): the same -> 'reason:count:expiry:' and the message's record
--   QUEUES_WITH_DEAD (zset): queue -> when to look for dead letters there
-- A queue with dead letters has in its hash `last_dead`, the number of the last death, and `dead_due`, the time of the
-- next attempt.
local QUEUE, RECORDS, FREE, DELAYED, EXPIRING, CLAIMED, CLAIM_ENDS, CLAIMS, CLAIM_COUNTS,
  MESSAGE_KEYS, BY_KEY, DEAD, DEAD_LETTERS, WAKEUP, QUEUES_WITH_DEAD = unpack(KEYS)
-- include states

-- Bytes of a member of DEAD.
local MEMBER = 16

local function schedule_queue(at)
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
  local dead, dead_letters = {}, {}
  for index, id in ipairs(ids) do
    if records[index] then
      number = number + 1
      local member = struct.pack('>I8', number) .. id
      dead[#dead + 1], dead[#dead + 2] = 0, member
      local front = string.format('%s:%d:%s:', reason, counts[index], expiries[index] or '')
      dead_letters[#dead_letters + 1], dead_letters[#dead_letters + 2] = member, front .. records[index]
    end
  end
  if #dead == 0 then return end
  batched('ZADD', DEAD, dead)
  batched('HSET', DEAD_LETTERS, dead_letters)
  redis.call('HSET', QUEUE, 'last_dead', string.format('%.0f', number))
  -- Behind dead letters whose delivery just failed, these wait for the same retry.
  if not dead_due or first ~= 0 then set_due(0) end
  schedule_queue(0)
end

-- schedule: set the next attempt after the dead letters changed; `again` is the retry time of failed deliveries.
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
  if first then schedule_queue(first) end
end

-- reserve: reserve dead messages until a time; 0 ends their reservation.
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

local function delete_dead(members)
  if #members == 0 then return end
  batched('ZREM', DEAD, members)
  batched('HDEL', DEAD_LETTERS, members)
end

