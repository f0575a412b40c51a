-- include clock
-- include wakeup
-- include batches
-- states: bring every message into the state that the time gives it. What includes this has as KEYS
--   1 queue (hash)    2 records (hash)    3 free (zset)     4 delayed (zset)    5 expiring (zset)
--   6 claimed (zset)  7 claims (zset)     8 leases (hash)   9 lent (hash)      10 bell (list; none in a cluster)

-- How many messages and claims went.
local collected = 0

-- When somebody is to look at the queue's dead messages; nil without any.
local dead_due

-- Whether the hash of the queue has a `weight`: what its free messages weigh together.
local counts_bytes = false

-- die: let messages be dead, for a reason. Only scripts that include `dead` have the keys for it.
local mark_dead

-- Messages that one run moves at the most: Redis serves nobody else meanwhile. Those that die take their records along.
local BUDGET, DEAD_BUDGET = 2000, 500

-- weighed: what messages weigh together: the bytes of their records, but for the front that each of them has.
local FIXED_BYTES = 18
local function size_of(ids)
  local sum = 0
  for _, id in ipairs(ids) do sum = sum + math.max(redis.call('HSTRLEN', RECORDS, id) - FIXED_BYTES, 0) end
  return sum
end

-- weigh: note that messages came to those that are free (1), or left them (-1). Their records must be there still.
local function count_bytes(ids, sign)
  if counts_bytes and #ids > 0 then redis.call('HINCRBY', QUEUE, 'free_bytes', sign * size_of(ids)) end
end

-- came_back: free messages of a claim that ended, where they stood; `claim` is what they will say of it.
-- Takes the members of `claimed` that are to go.
local function release(members, claim, counts)
  if #members == 0 then return end
  batched('ZREM', CLAIMED, members)
  local ids, line, claim_counts = {}, {}, {}
  for index, member in ipairs(members) do ids[index] = string.sub(member, 1, 8) end
  local before = lookup('HMGET', CLAIM_COUNTS, ids)
  for index, id in ipairs(ids) do
    line[2 * index - 1], line[2 * index] = 0, id
    local count = before[index] and tonumber(string.match(before[index], '^%d+')) or 0
    claim_counts[2 * index - 1], claim_counts[2 * index] = id, (count + counts) .. ':' .. claim
  end
  batched('ZADD', FREE, line)
  batched('HSET', CLAIM_COUNTS, claim_counts)
  count_bytes(ids, 1)
end

-- held: the members of `claimed` that a claim holds still.
local function members_of(claim)
  local lease = redis.call('HGET', CLAIMS, claim)
  local members = {}
  if not lease then return members end
  for index, id in ipairs(split(string.sub(lease, 17))) do members[index] = id .. claim end
  if #members == 0 then return members end
  local scores, there = lookup('ZMSCORE', CLAIMED, members), {}
  for index, score in ipairs(scores) do
    if score then there[#there + 1] = members[index] end
  end
  return there
end

local function delete_claim(claim)
  redis.call('ZREM', CLAIM_ENDS, claim)
  redis.call('HDEL', CLAIMS, claim, claim .. '#')
end

-- holder: the claim that holds a message, if there is one.
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

-- remove: forget messages, whatever their state; a claim whose last message goes ends with it.
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
  return batched('HDEL', RECORDS, ids)
end

-- note_deadline: let the queue be settled at that time, at the latest.
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

local function end_claims(now, budget)
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
  return budget
end

local function end_delays(now, budget)
  local delayed = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, math.max(budget, 0))
  if #delayed > 0 then
    local line = {}
    for index, id in ipairs(delayed) do line[2 * index - 1], line[2 * index] = 0, id end
    batched('ZREM', DELAYED, delayed)
    batched('ZADD', FREE, line)
    count_bytes(delayed, 1)
  end
  return budget - #delayed
end

local function expires_to_dlq()
  return string.sub(redis.call('HGET', QUEUE, 'bounded') or '', 1, 1) == '1'
end

-- settle_expiring: the budget that is left; and whether there is something that only who includes `dead` can settle.
local function expire(now, budget)
  local most = math.min(math.max(budget, 0), mark_dead and DEAD_BUDGET or BUDGET)
  local expired = redis.call('ZRANGEBYSCORE', EXPIRING, '-inf', now, 'LIMIT', 0, most)
  if #expired == 0 then return budget, false end
  if not expires_to_dlq() then
    collected = collected + delete_messages(expired)
  elseif mark_dead then
    mark_dead(expired, 'expired')
  else
    return budget, true
  end
  return budget - #expired, false
end

-- settle: 'current' once all is in the state that `now` gives it; 'advance' when there is more to do than one run may;
-- 'take_dead' when something expired that is to be buried.
local function advance_states(now, known)
  if not known or tonumber(known) > now then return 'current' end
  local budget, needs_take_dead = expire(now, end_delays(now, end_claims(now, BUDGET)))
  local first = first_score(CLAIM_ENDS)
  for _, key in ipairs({DELAYED, EXPIRING}) do
    local score = first_score(key)
    if score and (not first or score < first) then first = score end
  end
  -- Taken out first: a Redis that is out of memory lets a script add what it needs once it has removed something.
  redis.call('HDEL', QUEUE, 'next')
  if first then redis.call('HSET', QUEUE, 'next', string.format('%.6f', first)) end
  if budget < BUDGET and redis.call('ZCARD', FREE) > 0 then wake(QUEUE, WAKEUP) end
  if not first or first > now then return 'current' end
  return needs_take_dead and 'take_dead' or 'advance'
end

-- open: 'current' and the time; or false, there is no such queue; or 'advance', run it again: it took all that one run may;
-- or 'take_dead', run that first.
local function advance(given)
  local head = redis.call('HMGET', QUEUE, 'last', 'next', 'dead_due', 'free_bytes')
  if not head[1] then return false end
  dead_due, counts_bytes = head[3] and tonumber(head[3]), head[4]
  local now = clock(given)
  return advance_states(now, head[2]), now
end

