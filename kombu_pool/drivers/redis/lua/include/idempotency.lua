-- idempotency: recognise a post made again. An idempotency key is two arguments: '@' and the producer's id, and the
-- sequence number as a double; or '' twice. The queue's hash has a field for each producer: the sequence number of its
-- last post, the id of that post's first message, and the time of the post, eight bytes each.

-- is_duplicate: whether the producer's kept post has this sequence number, or a later one.
local function is_duplicate(kept, sequence)
  return kept and struct.unpack('>d', kept) >= struct.unpack('>d', sequence)
end

-- delete_old_producers: sample some fields, and delete those of producers outside the window; how many.
local function delete_old_producers(now, some)
  local IDEMPOTENCY_WINDOW = 600  -- seconds for which a producer's last post is kept
  local found, old = redis.call('HRANDFIELD', QUEUE, some, 'WITHVALUES'), {}
  for index = 1, #found, 2 do
    local is_producer = string.byte(found[index]) == 64
    if is_producer and now - struct.unpack('>d', string.sub(found[index + 1], 17)) > IDEMPOTENCY_WINDOW then
      old[#old + 1] = found[index]
    end
  end
  return #old > 0 and redis.call('HDEL', QUEUE, unpack(old)) or 0
end

