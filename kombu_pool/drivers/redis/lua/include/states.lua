-- states: advance every message to the state that its deadlines give it now. The includer names the KEYS.
-- OUT OF MEMORY: a Redis that is out of memory refuses a script's first addition, unless the script removed something
-- before it. So scripts that must run then remove first what they replace.
-- include clock
-- include wakeup
-- include batches
-- include message_keys

-- How many messages expired and claims ended.
local collected = 0

-- When the queue's dead letters are due for another attempt; nil without any.
local dead_due

-- The queue's field `paused`: no consumer may claim. false when it is not.
local paused = false

-- Whether the queue's hash has `free_bytes`, the size of its free messages.
local counts_bytes = false

-- mark_dead: make messages dead, for a reason. Defined by dead_letters, which has the keys for it.
local mark_dead

-- Messages that one run advances at most, as Redis is blocked meanwhile. Dead ones are fewer: their records move too.
local BUDGET, DEAD_BUDGET = 2000, 500

-- size_of: the size of messages: the bytes of their records without the FIXED_BYTES that every record begins with.
local FIXED_BYTES = 19
local function size_of(ids)
  local sum = 0
  for _, id in ipairs(ids) do sum = sum + math.max(redis.call('HSTRLEN', RECORDS, id) - FIXED_BYTES, 0) end
  return sum
end

-- count_bytes: count messages that become free (1) or stop being free (-1). Their records must still exist.
local function count_bytes(ids, sign)
  if counts_bytes and #ids > 0 then redis.call('HINCRBY', QUEUE, 'free_bytes', sign * size_of(ids)) end
end

-- Bytes of a claim's record before its messages: its start and its ttl (two doubles), and the tag of its holder.
local CLAIM_BYTES = 24

-- release: free messages of a claim at their old place in the order, given as members of CLAIMED, and add `increment`
-- to their claim counts; `claim` is what the counts name as the last claim.
local function release(members, claim, increment)
  if #members == 0 then return end
  batched('ZREM', CLAIMED, members)
  local ids, free, claim_counts = {}, {}, {}
  for index, member in ipairs(members) do ids[index] = string.sub(member, 1, 8) end
  local before = lookup('HMGET', CLAIM_COUNTS, ids)
  for index, id in ipairs(ids) do
    free[2 * index - 1], free[2 * index] = 0, id
    local count = before[index] and tonumber(string.match(before[index], '^%d+')) or 0
    claim_counts[2 * index - 1], claim_counts[2 * index] = id, (count + increment) .. ':' .. claim
  end
  batched('ZADD', FREE, free)
  batched('HSET', CLAIM_COUNTS, claim_counts)
  count_bytes(ids, 1)
end

-- members_of: the members of CLAIMED that a claim still holds.
local function members_of(claim)
  local stored = redis.call('HGET', CLAIMS, claim)
  local members = {}
  if not stored then return members end
  for index, id in ipairs(split(string.sub(stored, CLAIM_BYTES + 1))) do members[index] = id .. claim end
  if #members == 0 then return members end
  local scores, held = lookup('ZMSCORE', CLAIMED, members), {}
  for index, score in ipairs(scores) do
    if score then held[#held + 1] = members[index] end
  end
  return held
end

local function delete_claim(claim)
  redis.call('ZREM', CLAIM_ENDS, claim)
  redis.call('HDEL', CLAIMS, claim, claim .. '#')
end

-- claim_of: the claim that holds a message, if any.
local function claim_of(id)
  local member = redis.call('ZRANGEBYLEX', CLAIMED, '[' .. id, '(' .. id .. string.rep('\255', 9), 'LIMIT', 0, 1)[1]
  return member and string.sub(member, 9)
end

local function only_free(ids)
  local scores, free = #ids > 0 and lookup('ZMSCORE', FREE, ids) or {}, {}
  for index, id in ipairs(ids) do
    if scores[index] then free[#free + 1] = id end
  end
  return free
end

-- delete_messages: delete messages in any state; a claim ends with its last message.
local function delete_messages(ids)
  for _, id in ipairs(ids) do
    local claim = claim_of(id)
    if claim then
      redis.call('ZREM', CLAIMED, id .. claim)
      if redis.call('HINCRBY', CLAIMS, claim .. '#', -1) <= 0 then delete_claim(claim) end
    end
  end
  local free = counts_bytes and only_free(ids) or {}
  batched('ZREM', FREE, ids)
  count_bytes(free, -1)
  batched('ZREM', DELAYED, ids)
  batched('ZREM', EXPIRING, ids)
  batched('HDEL', CLAIM_COUNTS, ids)
  delete_keys(ids)
  return batched('HDEL', RECORDS, ids)
end

-- lower_deadline: set the queue's next deadline if it is earlier than the known one.
local function lower_deadline(known, at)
  if not known or at < tonumber(known) then
    redis.call('HSET', QUEUE, 'next', string.format('%.6f', at))
    return true
  end
end

local function first_score(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2])
end

local function expires_to_dlq()
  return string.sub(redis.call('HGET', QUEUE, 'bounded') or '', 1, 1) == '1'
end

-- advance_due: advance what is due. Its functions are defined inside, as most runs need none: a closure costs time.
local function advance_due(now)
  local budget, needs_take_dead = BUDGET, false

  local function end_claims()
    while budget > 0 do
      local ended = redis.call('ZRANGEBYSCORE', CLAIM_ENDS, '-inf', now, 'LIMIT', 0, 10)
      if #ended == 0 then break end
      for _, claim in ipairs(ended) do
        local members = members_of(claim)
        release(members, claim, 1)
        delete_claim(claim)
        collected = collected + 1
        budget = budget - #members - 1
      end
    end
  end

  local function end_delays()
    local delayed = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, math.max(budget, 0))
    if #delayed == 0 then return end
    local free = {}
    for index, id in ipairs(delayed) do free[2 * index - 1], free[2 * index] = 0, id end
    batched('ZREM', DELAYED, delayed)
    batched('ZADD', FREE, free)
    count_bytes(delayed, 1)
    budget = budget - #delayed
  end

  local function expire()
    local limit = math.min(math.max(budget, 0), mark_dead and DEAD_BUDGET or BUDGET)
    local expired = redis.call('ZRANGEBYSCORE', EXPIRING, '-inf', now, 'LIMIT', 0, limit)
    if #expired == 0 then return end
    if not expires_to_dlq() then
      collected = collected + delete_messages(expired)
    elseif mark_dead then
      mark_dead(expired, 'expired')
    else
      needs_take_dead = true
      return
    end
    budget = budget - #expired
  end

  end_claims()
  end_delays()
  expire()
  local first = first_score(CLAIM_ENDS)
  for _, key in ipairs({DELAYED, EXPIRING}) do
    local score = first_score(key)
    if score and (not first or score < first) then first = score end
  end
  redis.call('HDEL', QUEUE, 'next')  -- removed first: see OUT OF MEMORY
  if first then redis.call('HSET', QUEUE, 'next', string.format('%.6f', first)) end
  if budget < BUDGET and not paused and redis.call('ZCARD', FREE) > 0 then wake(QUEUE, WAKEUP) end
  if not first or first > now then return 'current' end
  return needs_take_dead and 'take_dead' or 'advance'
end

-- advance: 'current' and the time once every state is the present one. Otherwise false: there is no such queue, or none
-- that bears the `incarnation`, if that is given and not ''; 'advance': the budget is spent, run the script again;
-- 'take_dead': expired messages have to become dead letters, run take_dead and then the script again.
-- `before` is called with the time once the queue is known to be there.
local function advance(given, incarnation, before)
  local head = redis.call('HMGET', QUEUE, 'incarnation', 'next', 'dead_due', 'free_bytes', 'paused')
  if not head[1] or (incarnation and incarnation ~= '' and incarnation ~= head[1]) then return false end
  dead_due, counts_bytes, paused = head[3] and tonumber(head[3]), head[4], head[5]
  local now = clock(given)
  if before then before(now) end
  local deadline = head[2]
  return deadline and tonumber(deadline) <= now and advance_due(now) or 'current', now
end
