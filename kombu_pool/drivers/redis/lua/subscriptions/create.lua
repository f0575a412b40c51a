-- subscriptions/create: add a subscription, unless its subscriber has one.
-- include clock
-- include subscriptions
-- KEYS  those of subscriptions
-- ARGV  now, subscriber, ttl, options
-- Returns its id; false when the subscriber has one; -1 when there is no such queue.
if redis.call('EXISTS', queue) == 0 then return -1 end
local old = redis.call('HGET', subscriptions, '=' .. ARGV[2])
if old and living(old) then return false end
local last = redis.call('HGET', queue, 'last_subscription')
-- Kept with the queue, so that no id is given twice, whatever was deleted and wherever the clock stands.
local number = math.max(last and tonumber(last, 16) + 1 or 0, math.floor(now * 1000000))
local id = string.format('%016x', number)
redis.call('HSET', queue, 'last_subscription', id)
store(id, {
  subscriber = ARGV[2], ttl = ARGV[3], ends = expiry(ARGV[3]), created = now, options = ARGV[4], confirmed = false,
})
if old then redis.call('HDEL', subscriptions, old) end
return id
