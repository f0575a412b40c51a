-- take_dead: let what has expired be dead, and take the first of the dead, to bury them. Nobody else gets them meanwhile.
-- include clock
-- include wakeup
-- include batches
-- include states
-- include dead_letters
-- KEYS  those of dead
-- ARGV  now, limit (0 to take none), seconds to park
-- Returns {1 when there is more, now, the queue's metadata, the dead (joined), their letters}; false when there is no
--   such queue.
local state, now = open(ARGV[1])
if not state then
  if DYING then redis.call('ZREM', DYING, KEYS[1]) end
  return false
end

-- portion: the first of the dead, as many as are no burden together; one at the least.
local function portion(members)
  local size, most, LIGHT = 0, 0, 8 * 1024 * 1024
  for index, member in ipairs(members) do
    size = size + redis.call('HSTRLEN', LETTERS, member)
    if index > 1 and size > LIGHT then break end
    most = index
  end
  return {unpack(members, 1, most)}
end

local again, limit = due, tonumber(ARGV[2])
-- A Redis that is out of memory lets a script add what it needs once it has removed something.
redis.call('HDEL', KEYS[1], 'dead_due')
-- Who took them is gone: they are back where they stood.
park(redis.call('ZRANGEBYSCORE', DEAD, '(0', now, 'LIMIT', 0, CHUNK), 0)
local members = limit > 0 and portion(redis.call('ZRANGEBYSCORE', DEAD, 0, 0, 'LIMIT', 0, limit)) or {}
park(members, now + tonumber(ARGV[3]))
arrange(again)
local letters = #members > 0 and redis.call('HMGET', LETTERS, unpack(members)) or {}
local is_more = state ~= 'current' or first_score(DEAD) == 0
local metadata = redis.call('HGET', KEYS[1], 'metadata')
return {is_more and 1 or 0, string.format('%.6f', now), metadata, table.concat(members), letters}
