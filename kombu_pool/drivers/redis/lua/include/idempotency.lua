-- idempotency: know a post that is made again. A ticket is two arguments: '@' and the poster, and the post's number, a double;
-- or '' twice. The queue's hash has a field for each poster: the number of his last post, the id of its first message, and
-- when it was made, each of eight bytes.

-- How long a poster is remembered, in seconds.
local IDEMPOTENCY_WINDOW = 600

-- is_known: whether a poster of whom that is kept has made his post of this number, or a later one.
local function is_duplicate(kept, number)
  return kept and struct.unpack('>d', kept) >= struct.unpack('>d', number)
end

-- forget_posters: look at some fields, by chance, and remove those of who has not posted for long; how many.
local function delete_old_producers(now, some)
  local found, old = redis.call('HRANDFIELD', QUEUE, some, 'WITHVALUES'), {}
  for index = 1, #found, 2 do
    if string.byte(found[index]) == 64 and now - struct.unpack('>d', string.sub(found[index + 1], 17)) > IDEMPOTENCY_WINDOW then
      old[#old + 1] = found[index]
    end
  end
  return #old > 0 and redis.call('HDEL', QUEUE, unpack(old)) or 0
end

