-- subscriptions: what is stored of them. What includes this has as KEYS
--   1 queue (hash)    2 subscriptions (hash: id -> record, and "=" and the subscriber -> the id of its one record)
-- and as the first of ARGV the time. `ttl` and `options` are MessagePack that only the clients read; `ends` is 0 for
-- what never expires.
local queue, subscriptions, now = KEYS[1], KEYS[2], clock(ARGV[1])

local function has_expired(record)
  return record.ends > 0 and record.ends <= now
end

-- living: what is stored under an id, unless it has expired; nil if nothing.
local function living(id)
  local stored = redis.call('HGET', subscriptions, id)
  local record = stored and cmsgpack.unpack(stored)
  if record and not has_expired(record) then return record end
end

local function store(id, record)
  redis.call('HSET', subscriptions, id, cmsgpack.pack(record), '=' .. record.subscriber, id)
end

local function expiry(ttl)
  local seconds = cmsgpack.unpack(ttl)
  return seconds > 0 and now + seconds or 0
end

-- shown: what a client is told of a subscription.
local function shown(id, record)
  local age = math.max(0, math.floor(now - record.created))
  return {id, record.subscriber, record.ttl, age, record.options, record.confirmed and 1 or 0}
end
