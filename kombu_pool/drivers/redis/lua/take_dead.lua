-- take_dead: make expired messages dead, and reserve the first of the dead for one caller.
-- KEYS  see dead_letters
-- ARGV  now, limit (0 to reserve none), seconds of the reservation
-- Returns {1 when there are more, now, the queue's metadata, the dead (joined), their dead letters}; false when there
--   is no such queue.
-- include dead_letters
local state, now = advance(ARGV[1])
if not state then
  if QUEUES_WITH_DEAD then redis.call('ZREM', QUEUES_WITH_DEAD, QUEUE) end
  return false
end

-- A cluster asks every queue whose messages may be dead.
if not QUEUES_WITH_DEAD and ARGV[2] == '0' and state == 'current' and not dead_due then
  return {0, string.format('%.6f', now), '', '', {}}
end

-- portion: the first of the dead, one at least, up to MAX_BYTES together.
local function portion(members)
  local size, last, MAX_BYTES = 0, 0, 8 * 1024 * 1024
  for index, member in ipairs(members) do
    size = size + redis.call('HSTRLEN', DEAD_LETTERS, member)
    if index > 1 and size > MAX_BYTES then break end
    last = index
  end
  return {unpack(members, 1, last)}
end

local again, limit = dead_due, tonumber(ARGV[2])
-- Removed first: see OUT OF MEMORY in states.
redis.call('HDEL', QUEUE, 'dead_due')
-- Reservations that ended belonged to callers that are gone.
reserve(redis.call('ZRANGEBYSCORE', DEAD, '(0', now, 'LIMIT', 0, CHUNK), 0)
local members = limit > 0 and portion(redis.call('ZRANGEBYSCORE', DEAD, 0, 0, 'LIMIT', 0, limit)) or {}
reserve(members, now + tonumber(ARGV[3]))
schedule(again)
local dead_letters = #members > 0 and redis.call('HMGET', DEAD_LETTERS, unpack(members)) or {}
local is_more = state ~= 'current' or first_score(DEAD) == 0
local metadata = redis.call('HGET', QUEUE, 'metadata')
return {is_more and 1 or 0, string.format('%.6f', now), metadata, table.concat(members), dead_letters}
