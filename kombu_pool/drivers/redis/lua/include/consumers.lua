-- What all who deal with holders share: all KEYS.
-- KEYS  1 lifetime by queue's member (hash): seconds    2 when a queue was last used, whoever holds it (hash)
--       3 queues by when they may be abandoned, if not later (zset)    4 holders by queue and kind (zset)
--       5 queues by holder (zset)    6 holder and queue by when the holder dies (zset)
-- A queue with a lifetime is in 3 once it was held or its seconds count; what it says there is never too late.
-- A Redis whose memory is full refuses a script's first addition, unless something was taken out before. Who consumes
-- from it must not be refused: so what is replaced is taken out first.

-- Look at a queue once its lifetime has passed from a moment on, at which it was held or used.
local LIFETIMES, LAST_USED, MAY_EXPIRE, HOLDERS, HELD_QUEUES, HOLDER_ENDS = unpack(KEYS)

local function expire_after(queue, moment)
  local lifetime = redis.call('HGET', LIFETIMES, queue)
  if lifetime then
    redis.call('ZREM', MAY_EXPIRE, queue)
    redis.call('ZADD', MAY_EXPIRE, moment + tonumber(lifetime), queue)
  end
end

-- Note when a queue was last used.
local function set_last_used(queue, moment)
  redis.call('HDEL', LAST_USED, queue)
  redis.call('HSET', LAST_USED, queue, string.format('%.17g', moment))
  expire_after(queue, moment)
end

-- Return the bounds of the members that begin with a text.
local function span(text)
  return '[' .. text .. '\0', '(' .. text .. '\1'
end

-- Return the queues of a holder.
local function queues_of(holder)
  local queues = redis.call('ZRANGEBYLEX', HELD_QUEUES, span(holder))
  for i, entry in ipairs(queues) do
    queues[i] = string.sub(entry, #holder + 2)
  end
  return queues
end

-- Return the holders of a queue, of either kind.
local function holders_of(queue)
  local holders = redis.call('ZRANGEBYLEX', HOLDERS, span(queue))
  for i, entry in ipairs(holders) do
    holders[i] = string.sub(entry, #queue + 4)
  end
  return holders
end

-- Tell whether a queue has holders, living or dead.
local function is_held(queue)
  local first, last = span(queue)
  return #redis.call('ZRANGEBYLEX', HOLDERS, first, last, 'LIMIT', 0, 1) > 0
end

-- Return when a holder of a queue dies, or has died.
local function end_of(holder, queue)
  return tonumber(redis.call('ZSCORE', HOLDER_ENDS, holder .. '\0' .. queue) or 0)
end

-- Remove a holder of a queue.
local function remove_holder(holder, queue)
  redis.call('ZREM', HOLDERS, queue .. '\0c\0' .. holder, queue .. '\0o\0' .. holder)
  redis.call('ZREM', HELD_QUEUES, holder .. '\0' .. queue)
  redis.call('ZREM', HOLDER_ENDS, holder .. '\0' .. queue)
end

-- End a holder of a queue. It counts like the death that it is, which may have been earlier.
local function end_holder(holder, queue, now)
  local died = math.min(end_of(holder, queue), now)
  remove_holder(holder, queue)
  set_last_used(queue, math.max(tonumber(redis.call('HGET', LAST_USED, queue) or 0), died))
end
