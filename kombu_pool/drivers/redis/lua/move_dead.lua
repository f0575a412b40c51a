-- move_dead: move messages to another queue as its dead letters: dead ones, or some that a claim holds.
-- KEYS  those of dead_letters for the source (15), then QUEUE, RECORDS, FREE, EXPIRING, MESSAGE_KEYS, BY_KEY and
--   WAKEUP of the target
-- ARGV  now, claim ('' for dead ones), then for each message its id (of a dead one: its number and id), its new record,
--   and its expiry ('' for never)
-- Returns {how many, 1 when the target has a max length}; false when there is no target, or it is sealed; 'advance': see states.
-- include dead_letters
-- include sealed
local TO_QUEUE, TO_RECORDS, TO_FREE, TO_EXPIRING, TO_MESSAGE_KEYS, TO_BY_KEY, TO_WAKEUP = unpack(KEYS, 16)
local state, now = advance(ARGV[1])
if not state then return {0, 0} end
if state ~= 'current' then return state end
local head = redis.call('HMGET', TO_QUEUE, 'last', 'ttl', 'next', 'bounded', 'free_bytes', 'paused', 'incarnation')
if not head[1] or is_sealed(head[7]) then return false end
local number, longest, deadline = tonumber(head[1]), tonumber(head[2] or 0), tonumber(head[3] or 'inf')
local claim, moved, bytes, expiry = ARGV[2], {}, 0, nil

local function is_there(member)
  if claim == '' then return redis.call('HEXISTS', DEAD_LETTERS, member) == 1 end
  return redis.call('ZSCORE', CLAIMED, member .. claim)
end

local function put(id, record, expires)
  if longest > 0 and (not expires or expires > now + longest) then
    expires = now + longest
    record = string.sub(record, 1, 8) .. struct.pack('>d', longest) .. string.sub(record, 17)
  end
  redis.call('HSET', TO_RECORDS, id, record)
  redis.call('ZADD', TO_FREE, 0, id)
  local key = key_of(record, 0)
  if key then
    redis.call('HSET', TO_MESSAGE_KEYS, id, key)
    redis.call('ZADD', TO_BY_KEY, 0, key .. '\0' .. id)
  end
  bytes = bytes + #record - FIXED_BYTES
  if expires then
    redis.call('ZADD', TO_EXPIRING, string.format('%.6f', expires), id)
    expiry = math.min(expiry or expires, expires)
  end
end

-- Changes nothing, but counts as a removal: see OUT OF MEMORY in states.
redis.call('HDEL', QUEUE, '')
for index = 3, #ARGV, 3 do
  local member = ARGV[index]
  if is_there(member) then
    moved[#moved + 1], number = member, number + 1
    local id = string.sub(member, -8, -8) .. string.sub(struct.pack('>I8', number), 2)
    put(id, ARGV[index + 1], tonumber(ARGV[index + 2]))
  end
end
if #moved == 0 then return {0, 0} end
redis.call('HSET', TO_QUEUE, 'last', string.format('%.0f', number))
if expiry and expiry < deadline then redis.call('HSET', TO_QUEUE, 'next', string.format('%.6f', expiry)) end
if head[5] then redis.call('HINCRBY', TO_QUEUE, 'free_bytes', bytes) end
if expiry and string.sub(head[4] or '', 1, 1) == '1' then
  redis.call('ZADD', QUEUES_WITH_DEAD, 'LT', string.format('%.6f', expiry), TO_QUEUE)
end
if claim ~= '' then
  delete_messages(moved)
else
  delete_dead(moved)
  schedule()
end
if not head[6] then wake(TO_QUEUE, TO_WAKEUP) end
return {#moved, head[4] and string.sub(head[4], 4) ~= ':0:0' and 1 or 0}
