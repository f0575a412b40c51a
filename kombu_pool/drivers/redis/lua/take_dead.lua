-- take_dead: let what has expired be dead, and take the first of the dead, to bury them. Nobody else gets them meanwhile.
-- include dead_letters
-- KEYS  those of dead
-- ARGV  now, limit (0 to take none), seconds to park
-- Returns {1 when there is more, now, the queue's metadata, the dead (joined), their letters}; false when there is no
--   such queue.
local state, now = advance(ARGV[1])
if not state then
  if QUEUES_WITH_DEAD then redis.call('ZREM', QUEUES_WITH_DEAD, QUEUE) end
  return false
end

-- portion: the first of the dead, as many as are no burden together; one at the least.
local function portion(members)
  local size, most, LIGHT = 0, 0, 8 * 1024 * 1024
  for index, member in ipairs(members) do
    size = size + redis.call('HSTRLEN', DEAD_LETTERS, member)
    if index > 1 and size > LIGHT then break end
    most = index
  end
  return {unpack(members, 1, most)}
end

local again, limit = dead_due, tonumber(ARGV[2])
-- A Redis that is out of memory lets a script add what it needs once it has removed something.
redis.call('HDEL', QUEUE, 'dead_due')
-- Who took them is gone: they are back where they stood.
reserve(redis.call('ZRANGEBYSCORE', DEAD, '(0', now, 'LIMIT', 0, CHUNK), 0)
local members = limit > 0 and portion(redis.call('ZRANGEBYSCORE', DEAD, 0, 0, 'LIMIT', 0, limit)) or {}
reserve(members, now + tonumber(ARGV[3]))
schedule(again)
local letters = #members > 0 and redis.call('HMGET', DEAD_LETTERS, unpack(members)) or {}
local is_more = state ~= 'current' or first_score(DEAD) == 0
local metadata = redis.call('HGET', QUEUE, 'metadata')
return {is_more and 1 or 0, string.format('%.6f', now), metadata, table.concat(members), letters}
