-- move_dead: move messages to another queue, as its dead letters: dead ones, or some that a claim holds.
-- include dead_letters
-- KEYS  1 to 13 those of dead, of the queue that they leave
--       14 to 18 queue, records, free, expiring and bell of the one that they go to
-- ARGV  now, claim ('' for dead ones), then for each message its id, or among the dead its number and id, its new
--   record, and when it expires ('' for never)
-- Returns {how many moved, 1 when the queue that they went to has a longest length}; false when that is not there;
--   'advance': run it again.
local TO_QUEUE, TO_RECORDS, TO_FREE, TO_EXPIRING, TO_WAKEUP = unpack(KEYS, 14)
local state, now = advance(ARGV[1])
if not state then return {0, 0} end
if state ~= 'current' then return state end
local head = redis.call('HMGET', TO_QUEUE, 'last', 'ttl', 'next', 'bounded', 'free_bytes')
if not head[1] then return false end
local number, longest, deadline = tonumber(head[1]), tonumber(head[2] or 0), tonumber(head[3] or 'inf')
local claim, moved, weight, expiry = ARGV[2], {}, 0, nil

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
  weight = weight + #record - FIXED_BYTES
  if expires then
    redis.call('ZADD', TO_EXPIRING, string.format('%.6f', expires), id)
    expiry = math.min(expiry or expires, expires)
  end
end

-- It changes nothing, but a Redis that is out of memory lets a script add what it needs once it has removed something.
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
if head[5] then redis.call('HINCRBY', TO_QUEUE, 'free_bytes', weight) end
if expiry and string.sub(head[4] or '', 1, 1) == '1' then
  redis.call('ZADD', QUEUES_WITH_DEAD, 'LT', string.format('%.6f', expiry), TO_QUEUE)
end
if claim ~= '' then
  delete_messages(moved)
else
  delete_dead(moved)
  schedule()
end
wake(TO_QUEUE, TO_WAKEUP)
return {#moved, head[4] and string.sub(head[4], 4) ~= ':0:0' and 1 or 0}
