-- move_hold: let the id that a unique message holds name it by its new id.
local function move_hold(value, id, new)
  local _, name = split_key(value)
  local stored = name and redis.call('HGET', QUEUE, '~' .. name)
  if stored and string.sub(stored, 10, 17) == id then
    redis.call('HSET', QUEUE, '~' .. name, string.sub(stored, 1, 9) .. new .. string.sub(stored, 18))
  end
end

-- change_message: delete a message, and store it again under the id that its priority gives it; that id.
local function change_message(id, now, due, priority)
  local before, expires = redis.call('ZSCORE', DELAYED, id), redis.call('ZSCORE', EXPIRING, id)
  local record, count = redis.call('HGET', RECORDS, id), redis.call('HGET', CLAIM_COUNTS, id)
  before, expires = before and tonumber(before), expires and tonumber(expires)
  local after = before
  if due then after = due > now and due end
  if expires and after ~= before then
    expires = expires + (after or now) - (before or now)
    local ttl = expires - struct.unpack('>d', record)
    record = string.sub(record, 1, 8) .. struct.pack('>d', ttl) .. string.sub(record, 17)
  end
  local value = redis.call('HGET', MESSAGE_KEYS, id)
  delete_messages({id})
  local new = (priority and string.char(255 - priority) or string.sub(id, 1, 1)) .. string.sub(id, 2)
  redis.call('HSET', RECORDS, new, record)
  if count then redis.call('HSET', CLAIM_COUNTS, new, count) end
  if value then add_keys({new, value}) end
  if value and new ~= id then move_hold(value, id, new) end
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

