-- states: bring every message into the state that the time gives it. What includes this has as KEYS
--   1 queue (hash)    2 records (hash)    3 free (zset)     4 delayed (zset)    5 expiring (zset)
--   6 claimed (zset)  7 claims (zset)     8 leases (hash)   9 lent (hash)      10 bell (list; none in a cluster)

-- How many messages and claims went.
local gone = 0

-- When somebody is to look at the queue's dead messages; nil without any.
local due

-- Whether the hash of the queue has a `weight`: what its free messages weigh together.
local is_weighed = false

-- die: let messages be dead, for a reason. Only scripts that include `dead` have the keys for it.
local die

-- Messages that one run moves at the most: Redis serves nobody else meanwhile. Those that die take their records along.
local BUDGET, BUDGET_OF_DEAD = 2000, 500

-- weighed: what messages weigh together: the bytes of their records, but for the front that each of them has.
local FRONT = 18
local function weighed(ids)
  local sum = 0
  for _, id in ipairs(ids) do sum = sum + math.max(redis.call('HSTRLEN', KEYS[2], id) - FRONT, 0) end
  return sum
end

-- weigh: note that messages came to those that are free (1), or left them (-1). Their records must be there still.
local function weigh(ids, sign)
  if is_weighed and #ids > 0 then redis.call('HINCRBY', KEYS[1], 'free_bytes', sign * weighed(ids)) end
end

-- came_back: free messages of a claim that ended, where they stood; `claim` is what they will say of it.
-- Takes the members of `claimed` that are to go.
local function came_back(members, claim, counts)
  if #members == 0 then return end
  batched('ZREM', KEYS[6], members)
  local ids, line, marks = {}, {}, {}
  for index, member in ipairs(members) do ids[index] = string.sub(member, 1, 8) end
  local before = looked_up('HMGET', KEYS[9], ids)
  for index, id in ipairs(ids) do
    line[2 * index - 1], line[2 * index] = 0, id
    local count = before[index] and tonumber(string.match(before[index], '^%d+')) or 0
    marks[2 * index - 1], marks[2 * index] = id, (count + counts) .. ':' .. claim
  end
  batched('ZADD', KEYS[3], line)
  batched('HSET', KEYS[9], marks)
  weigh(ids, 1)
end

-- held: the members of `claimed` that a claim holds still.
local function held(claim)
  local lease = redis.call('HGET', KEYS[8], claim)
  local members = {}
  if not lease then return members end
  for index, id in ipairs(split(string.sub(lease, 17))) do members[index] = id .. claim end
  if #members == 0 then return members end
  local scores, there = looked_up('ZMSCORE', KEYS[6], members), {}
  for index, score in ipairs(scores) do
    if score then there[#there + 1] = members[index] end
  end
  return there
end

local function forget_claim(claim)
  redis.call('ZREM', KEYS[7], claim)
  redis.call('HDEL', KEYS[8], claim, claim .. '#')
end

-- holder: the claim that holds a message, if there is one.
local function holder(id)
  local member = redis.call('ZRANGEBYLEX', KEYS[6], '[' .. id, '(' .. id .. string.rep('\255', 9), 'LIMIT', 0, 1)[1]
  return member and string.sub(member, 9)
end

local function free_of(ids)
  local scores, free = #ids > 0 and looked_up('ZMSCORE', KEYS[3], ids) or {}, {}
  for index, id in ipairs(ids) do
    if scores[index] then free[#free + 1] = id end
  end
  return free
end

-- remove: forget messages, whatever their state; a claim whose last message goes ends with it.
local function remove(ids)
  for _, id in ipairs(ids) do
    local claim = holder(id)
    if claim then
      redis.call('ZREM', KEYS[6], id .. claim)
      if redis.call('HINCRBY', KEYS[8], claim .. '#', -1) <= 0 then forget_claim(claim) end
    end
  end
  local free = is_weighed and free_of(ids) or {}
  batched('ZREM', KEYS[3], ids)
  weigh(free, -1)
  batched('ZREM', KEYS[4], ids)
  batched('ZREM', KEYS[5], ids)
  batched('HDEL', KEYS[9], ids)
  return batched('HDEL', KEYS[2], ids)
end

-- note_deadline: let the queue be settled at that time, at the latest.
local function note_deadline(known, at)
  if not known or at < tonumber(known) then
    redis.call('HSET', KEYS[1], 'next', string.format('%.6f', at))
    return true
  end
end

local function first_score(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2])
end

local function settle_claims(now, budget)
  while budget > 0 do
    local ended = redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', now, 'LIMIT', 0, 10)
    if #ended == 0 then break end
    for _, claim in ipairs(ended) do
      local members = held(claim)
      came_back(members, claim, 1)
      forget_claim(claim)
      gone = gone + 1
      budget = budget - #members - 1
    end
  end
  return budget
end

local function settle_delayed(now, budget)
  local delayed = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, math.max(budget, 0))
  if #delayed > 0 then
    local line = {}
    for index, id in ipairs(delayed) do line[2 * index - 1], line[2 * index] = 0, id end
    batched('ZREM', KEYS[4], delayed)
    batched('ZADD', KEYS[3], line)
    weigh(delayed, 1)
  end
  return budget - #delayed
end

local function buries_expired()
  return string.sub(redis.call('HGET', KEYS[1], 'bounded') or '', 1, 1) == '1'
end

-- settle_expiring: the budget that is left; and whether there is something that only who includes `dead` can settle.
local function settle_expiring(now, budget)
  local most = math.min(math.max(budget, 0), die and BUDGET_OF_DEAD or BUDGET)
  local expired = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now, 'LIMIT', 0, most)
  if #expired == 0 then return budget, false end
  if not buries_expired() then
    gone = gone + remove(expired)
  elseif die then
    die(expired, 'expired')
  else
    return budget, true
  end
  return budget - #expired, false
end

-- settle: 'current' once all is in the state that `now` gives it; 'advance' when there is more to do than one run may;
-- 'take_dead' when something expired that is to be buried.
local function settle(now, known)
  if not known or tonumber(known) > now then return 'current' end
  local budget, mourns = settle_expiring(now, settle_delayed(now, settle_claims(now, BUDGET)))
  local first = first_score(KEYS[7])
  for _, key in ipairs({KEYS[4], KEYS[5]}) do
    local score = first_score(key)
    if score and (not first or score < first) then first = score end
  end
  -- Taken out first: a Redis that is out of memory lets a script add what it needs once it has removed something.
  redis.call('HDEL', KEYS[1], 'next')
  if first then redis.call('HSET', KEYS[1], 'next', string.format('%.6f', first)) end
  if budget < BUDGET and redis.call('ZCARD', KEYS[3]) > 0 then ring(KEYS[1], KEYS[10]) end
  if not first or first > now then return 'current' end
  return mourns and 'take_dead' or 'advance'
end

-- open: 'current' and the time; or false, there is no such queue; or 'advance', run it again: it took all that one run may;
-- or 'take_dead', run that first.
local function open(said)
  local head = redis.call('HMGET', KEYS[1], 'last', 'next', 'dead_due', 'free_bytes')
  if not head[1] then return false end
  due, is_weighed = head[3] and tonumber(head[3]), head[4]
  local now = clock(said)
  return settle(now, head[2]), now
end

