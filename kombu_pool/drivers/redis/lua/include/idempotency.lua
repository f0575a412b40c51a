-- idempotency: know a post that is made again. A ticket is two arguments: '@' and the poster, and the post's number, a double;
-- or '' twice. The queue's hash has a field for each poster: the number of his last post, the id of its first message, and
-- when it was made, each of eight bytes.

-- How long a poster is remembered, in seconds.
local TICKET_LIFE = 600

-- is_known: whether a poster of whom that is kept has made his post of this number, or a later one.
local function is_known(kept, number)
  return kept and struct.unpack('>d', kept) >= struct.unpack('>d', number)
end

-- forget_posters: look at some fields, by chance, and remove those of who has not posted for long; how many.
local function forget_posters(now, some)
  local found, old = redis.call('HRANDFIELD', KEYS[1], some, 'WITHVALUES'), {}
  for index = 1, #found, 2 do
    if string.byte(found[index]) == 64 and now - struct.unpack('>d', string.sub(found[index + 1], 17)) > TICKET_LIFE then
      old[#old + 1] = found[index]
    end
  end
  return #old > 0 and redis.call('HDEL', KEYS[1], unpack(old)) or 0
end

