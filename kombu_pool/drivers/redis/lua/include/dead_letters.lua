-- dead_letters: keep what is dead until it is buried. What includes this, behind settle, has as KEYS those of settle, but
-- before the bell
--   10 dead (zset): the number of a death and the message -> when its parking ends; 0 when nobody is at it
--   11 letters (hash): the same -> 'reason:count:expiry:' and the message's record
-- and behind the bell, as a cluster has not
--   13 dying (zset): queue -> when somebody is to look there for what is dead
-- The queue's hash has, while there are any, `died`: the number of the last death, and `due`: when to bury.
local DEAD, LETTERS = table.remove(KEYS, 10), table.remove(KEYS, 10)
local DYING, MEMBER = KEYS[11], 16

local function look_there(at)
  if DYING then redis.call('ZADD', DYING, 'LT', string.format('%.6f', at), KEYS[1]) end
end

local function set_due(at)
  due = at
  redis.call('HSET', KEYS[1], 'dead_due', string.format('%.6f', at))
end

die = function(ids, reason)
  local records, marks = looked_up('HMGET', KEYS[2], ids), looked_up('HMGET', KEYS[9], ids)
  local expiries, counts = looked_up('ZMSCORE', KEYS[5], ids), {}
  for index, id in ipairs(ids) do
    local count = marks[index] and tonumber(string.match(marks[index], '^%d+')) or 0
    counts[index] = count + (holder(id) and 1 or 0)
  end
  remove(ids)
  local first, number = first_score(DEAD), tonumber(redis.call('HGET', KEYS[1], 'last_dead') or 0)
  local waiting, letters = {}, {}
  for index, id in ipairs(ids) do
    if records[index] then
      number = number + 1
      local member = struct.pack('>I8', number) .. id
      waiting[#waiting + 1], waiting[#waiting + 2] = 0, member
      letters[#letters + 1] = member
      letters[#letters + 1] = string.format('%s:%d:%s:', reason, counts[index], expiries[index] or '') .. records[index]
    end
  end
  if #waiting == 0 then return end
  batched('ZADD', DEAD, waiting)
  batched('HSET', LETTERS, letters)
  redis.call('HSET', KEYS[1], 'last_dead', string.format('%.0f', number))
  -- Where those before could not be buried just now, these have to wait with them.
  if not due or first ~= 0 then set_due(0) end
  look_there(0)
end

-- arrange: note when to look next, after something was done about the dead; `again`: when what waits is tried again.
local function arrange(again)
  local first = first_score(DEAD)
  if first then
    set_due(first > 0 and first or again or 0)
  else
    redis.call('HDEL', KEYS[1], 'last_dead', 'dead_due')
    due = nil
  end
  if not DYING then return end
  local expiry = buries_expired() and first_score(KEYS[5])
  if expiry and (not first or expiry < first) then first = expiry end
  redis.call('ZREM', DYING, KEYS[1])
  if first then look_there(first) end
end

-- park: let the dead wait until then; 0: until somebody takes them.
local function park(members, till)
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
local function forget_dead(members)
  if #members == 0 then return end
  batched('ZREM', DEAD, members)
  batched('HDEL', LETTERS, members)
end

