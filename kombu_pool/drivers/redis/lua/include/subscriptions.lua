-- subscriptions: the stored form of subscriptions. The first of ARGV is the time.
-- KEYS  queue (hash), subscriptions (hash): id -> record, and "=" and subscriber -> id of its one record
-- `ttl` and `options` are MessagePack that only the clients read; `ends` is 0 for a subscription that never expires.
local QUEUE, SUBSCRIPTIONS = unpack(KEYS)
-- include clock
local now = clock(ARGV[1])

local function has_expired(record)
  return record.ends > 0 and record.ends <= now
end

-- find: the unexpired subscription of an id; nil if there is none.
local function find(id)
  local stored = redis.call('HGET', SUBSCRIPTIONS, id)
  local record = stored and cmsgpack.unpack(stored)
  if record and not has_expired(record) then return record end
end

-- set_expiry: let the subscriptions of a queue that does not exist expire with the last of them: no collector finds them.
local function set_expiry()
  if redis.call('EXISTS', QUEUE) == 1 then return redis.call('PERSIST', SUBSCRIPTIONS) end
  local last, found = now, redis.call('HGETALL', SUBSCRIPTIONS)
  for index = 1, #found, 2 do
    if string.sub(found[index], 1, 1) ~= '=' then
      local ends = cmsgpack.unpack(found[index + 1]).ends
      if ends == 0 then return redis.call('PERSIST', SUBSCRIPTIONS) end
      last = math.max(last, ends)
    end
  end
  redis.call('PEXPIRE', SUBSCRIPTIONS, math.ceil((last - now) * 1000))
end

local function store(id, record)
  redis.call('HSET', SUBSCRIPTIONS, id, cmsgpack.pack(record), '=' .. record.subscriber, id)
end

local function expiry(ttl)
  local seconds = cmsgpack.unpack(ttl)
  return seconds > 0 and now + seconds or 0
end

-- view: a subscription as clients read it.
local function view(id, record)
  local age = math.max(0, math.floor(now - record.created))
  return {id, record.subscriber, record.ttl, age, record.options, record.confirmed and 1 or 0}
end
