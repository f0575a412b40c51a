-- bury: move messages that a claim holds to another queue, as its dead letters.
-- include clock
-- include bell
-- include batches
-- include settle
-- KEYS  1 to 10 those of settle, of the queue that they leave
--       11 to 15 queue, records, free, expiring and bell of the one that they go to
-- ARGV  now, claim, then for each message its id, its new record, and when it expires ('' for never)
-- Returns how many moved; false when either queue is not there; 'settle': run it again.
local state, now = open(ARGV[1])
if state ~= 'open' then return state end
local head = redis.call('HMGET', KEYS[11], 'last', 'ttl', 'next')
if not head[1] then return false end
local number, longest, deadline = tonumber(head[1]), tonumber(head[2] or 0), tonumber(head[3] or 'inf')
local moved = {}
-- It changes nothing, but a Redis that is out of memory lets a script add what it needs once it has removed something.
redis.call('HDEL', KEYS[1], '')
for index = 3, #ARGV, 3 do
  local id, record, expires = ARGV[index], ARGV[index + 1], tonumber(ARGV[index + 2])
  if redis.call('ZSCORE', KEYS[6], id .. ARGV[2]) then
    moved[#moved + 1], number = id, number + 1
    if longest > 0 and (not expires or expires > now + longest) then
      expires = now + longest
      record = string.sub(record, 1, 8) .. struct.pack('>d', longest) .. string.sub(record, 17)
    end
    local new = string.sub(id, 1, 1) .. string.sub(struct.pack('>I8', number), 2)
    redis.call('HSET', KEYS[12], new, record)
    redis.call('ZADD', KEYS[13], 0, new)
    if expires then
      redis.call('ZADD', KEYS[14], string.format('%.6f', expires), new)
      deadline = math.min(deadline, expires)
    end
  end
end
if #moved == 0 then return 0 end
redis.call('HSET', KEYS[11], 'last', string.format('%.0f', number))
if deadline < math.huge then redis.call('HSET', KEYS[11], 'next', string.format('%.6f', deadline)) end
remove(moved)
ring(KEYS[11], KEYS[15])
return #moved
