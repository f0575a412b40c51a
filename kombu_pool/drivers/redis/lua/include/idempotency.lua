-- idempotency: recognise a post made again. An idempotency key is two arguments: '@' and the producer's id, and the
-- sequence number as a double; or '' twice. The queue's hash has a field for each producer: the sequence number of its
-- last post, the id of that post's first message, and the time of the post, eight bytes each. Of a post of several
-- messages their number follows (four bytes) if their priority is the same and all were stored; else a list of them: its
-- id, two bytes, and the key of another message if that displaced it. The two bytes are 0 if none did, else one more
-- than the length of the key.
-- include is_duplicate
-- is_old: whether a field of the queue's hash is that of a producer outside the window, or of an id that is free: see
-- unique.
local function is_old(field, value, now)
  local IDEMPOTENCY_WINDOW = 600  -- seconds for which a producer's last post is kept
  local kind = string.byte(field)
  if kind == 64 then return now - struct.unpack('>d', string.sub(value, 17)) > IDEMPOTENCY_WINDOW end
  if kind ~= 126 then return false end
  local till = struct.unpack('>d', value)
  if till > 0 then return till <= now end
  return redis.call('HEXISTS', RECORDS, string.sub(value, 10, 17)) == 0
end

-- delete_old_producers: sample some fields, and delete the old ones; how many.
local function delete_old_producers(now, some)
  local found, old = redis.call('HRANDFIELD', QUEUE, some, 'WITHVALUES'), {}
  for index = 1, #found, 2 do
    if is_old(found[index], found[index + 1], now) then old[#old + 1] = found[index] end
  end
  return #old > 0 and redis.call('HDEL', QUEUE, unpack(old)) or 0
end

