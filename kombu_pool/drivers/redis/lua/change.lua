-- change: change the due time or the priority of the messages with a key that no claim holds.
-- KEYS  see dead_letters
-- ARGV  now, key, due time, priority; '' for no change
-- Returns {the changed, the claimed}, as `shown` of keyed does; false when there is no such queue; 'advance': see states.
-- include dead_letters
-- include keyed
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local waiting, claimed = waiting_and_claimed(with_key(ARGV[2]))
local due, priority, changed = tonumber(ARGV[3]), tonumber(ARGV[4]), {}

-- moved: the expiry, moved with the due time; `before` and `after` are false for a free message.
local function moved(expires, before, after)
  return expires + (after or now) - (before or now)
end

-- change: delete a message, and store it again under the id that its priority gives it.
local function change(id)
  local before, expires = redis.call('ZSCORE', DELAYED, id), redis.call('ZSCORE', EXPIRING, id)
  local record, count = redis.call('HGET', RECORDS, id), redis.call('HGET', CLAIM_COUNTS, id)
  before, expires = before and tonumber(before), expires and tonumber(expires)
  local after = before
  if due then after = due > now and due end
  if expires and after ~= before then
    expires = moved(expires, before, after)
    local ttl = expires - struct.unpack('>d', record)
    record = string.sub(record, 1, 8) .. struct.pack('>d', ttl) .. string.sub(record, 17)
  end
  delete_messages({id})
  local new = (priority and string.char(255 - priority) or string.sub(id, 1, 1)) .. string.sub(id, 2)
  redis.call('HSET', RECORDS, new, record)
  if count then redis.call('HSET', CLAIM_COUNTS, new, count) end
  add_keys({new, ARGV[2]})
  if after then
    redis.call('ZADD', DELAYED, string.format('%.6f', after), new)
    lower_deadline(redis.call('HGET', QUEUE, 'next'), after)
  else
    redis.call('ZADD', FREE, 0, new)
    count_bytes({new}, 1)
  end
  if expires then
    redis.call('ZADD', EXPIRING, string.format('%.6f', expires), new)
    lower_deadline(redis.call('HGET', QUEUE, 'next'), expires)
    if expires_to_dlq() then schedule_queue(expires) end
  end
  return new
end

for index, id in ipairs(waiting) do changed[index] = change(id) end
if #changed > 0 then wake(QUEUE, WAKEUP) end
return {shown(changed, now), shown(claimed, now)}
