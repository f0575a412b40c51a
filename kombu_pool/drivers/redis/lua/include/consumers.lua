-- consumers: the holders of queues, and the lifetimes of queues without one.
-- KEYS  lifetime in seconds by queue (hash), last use by queue without regard to holders (hash), queues by their
--   earliest possible expiry (zset), holders by queue and kind (zset), queues by holder (zset), holder and queue by the
--   holder's end (zset). MAY_EXPIRE has each queue whose lifetime has begun, and its score is never too late.
-- Consumers of a Redis that is out of memory must not be refused: so what is replaced is removed first (see states).
local LIFETIMES, LAST_USED, MAY_EXPIRE, HOLDERS, HELD_QUEUES, HOLDER_ENDS = unpack(KEYS)
-- include clock

-- expire_after: let a queue expire when its lifetime has passed since a moment of use.
local function expire_after(queue, moment)
  local lifetime = redis.call('HGET', LIFETIMES, queue)
  if lifetime then
    redis.call('ZREM', MAY_EXPIRE, queue)
    redis.call('ZADD', MAY_EXPIRE, moment + tonumber(lifetime), queue)
  end
end

-- set_last_used: set the time of a queue's last use.
local function set_last_used(queue, moment)
  redis.call('HDEL', LAST_USED, queue)
  redis.call('HSET', LAST_USED, queue, string.format('%.17g', moment))
  expire_after(queue, moment)
end

-- span: the bounds of the members that begin with a text.
local function span(text)
  return '[' .. text .. '\0', '(' .. text .. '\1'
end

local function queues_of(holder)
  local queues = redis.call('ZRANGEBYLEX', HELD_QUEUES, span(holder))
  for i, entry in ipairs(queues) do
    queues[i] = string.sub(entry, #holder + 2)
  end
  return queues
end

-- holders_of: the holders of a queue, of either kind.
local function holders_of(queue)
  local holders = redis.call('ZRANGEBYLEX', HOLDERS, span(queue))
  for i, entry in ipairs(holders) do
    holders[i] = string.sub(entry, #queue + 4)
  end
  return holders
end

-- is_held: whether a queue has holders, live or ended.
local function is_held(queue)
  local first, last = span(queue)
  return #redis.call('ZRANGEBYLEX', HOLDERS, first, last, 'LIMIT', 0, 1) > 0
end

-- end_of: when a holder of a queue ends, or has ended.
local function end_of(holder, queue)
  return tonumber(redis.call('ZSCORE', HOLDER_ENDS, holder .. '\0' .. queue) or 0)
end

-- last_use: when a queue was last used, or its last holder ends or has ended; false if it was never used.
local function last_use(queue)
  local used = redis.call('HGET', LAST_USED, queue)
  local last = used and tonumber(used)
  for _, holder in ipairs(holders_of(queue)) do
    last = math.max(last or 0, end_of(holder, queue))
  end
  return last
end

-- expiry_of: when a queue expires or has expired, and may be earlier if that is in the future; nil if it does not.
local function expiry_of(queue, now)
  local earliest = redis.call('ZSCORE', MAY_EXPIRE, queue)
  if not earliest or tonumber(earliest) > now then return earliest and tonumber(earliest) end
  local last, lifetime = last_use(queue), redis.call('HGET', LIFETIMES, queue)
  return last and lifetime and last + tonumber(lifetime) or nil
end

-- has_expired: whether a queue was unused for its lifetime.
local function has_expired(queue, now)
  local expiry = expiry_of(queue, now)
  return expiry and expiry <= now
end

-- count_consumers: count the live consumers of a queue. Reads its ended ones, too.
local function count_consumers(queue, now)
  local live = 0
  for _, entry in ipairs(redis.call('ZRANGEBYLEX', HOLDERS, span(queue .. '\0c'))) do
    if end_of(string.sub(entry, #queue + 4), queue) > now then live = live + 1 end
  end
  return live
end

-- set_lifetime: let a queue expire when it was unused for some seconds; `from` is the moment from which they count, or
-- nil if that stays.
local function set_lifetime(queue, seconds, from)
  redis.call('HDEL', LIFETIMES, queue)
  redis.call('HSET', LIFETIMES, queue, seconds)
  local used = redis.call('HGET', LAST_USED, queue)
  if from then
    set_last_used(queue, from)
  elseif used then
    expire_after(queue, tonumber(used))
  elseif is_held(queue) then
    expire_after(queue, 0)
  end
end

-- remove_lifetime: let a queue expire no more.
local function remove_lifetime(queue)
  redis.call('HDEL', LIFETIMES, queue)
  redis.call('HDEL', LAST_USED, queue)
  redis.call('ZREM', MAY_EXPIRE, queue)
end

local function remove_holder(holder, queue)
  redis.call('ZREM', HOLDERS, queue .. '\0c\0' .. holder, queue .. '\0o\0' .. holder)
  redis.call('ZREM', HELD_QUEUES, holder .. '\0' .. queue)
  redis.call('ZREM', HOLDER_ENDS, holder .. '\0' .. queue)
end

-- add_holder: add or renew a holder of a queue; its kind is 'c' for a consumer or 'o' for an owner.
local function add_holder(holder, queue, kind, ends)
  remove_holder(holder, queue)
  redis.call('ZADD', HOLDERS, 0, queue .. '\0' .. kind .. '\0' .. holder)
  redis.call('ZADD', HELD_QUEUES, 0, holder .. '\0' .. queue)
  redis.call('ZADD', HOLDER_ENDS, ends, holder .. '\0' .. queue)
  expire_after(queue, ends)
end

-- end_holder: end a holder of a queue. Its end counts as a use of the queue, at an earlier time if it ended before.
local function end_holder(holder, queue, now)
  local ended = math.min(end_of(holder, queue), now)
  remove_holder(holder, queue)
  set_last_used(queue, math.max(tonumber(redis.call('HGET', LAST_USED, queue) or 0), ended))
end

-- forget: remove a queue's lifetime and its holders.
local function forget(queue)
  remove_lifetime(queue)
  for _, holder in ipairs(holders_of(queue)) do
    remove_holder(holder, queue)
  end
end
