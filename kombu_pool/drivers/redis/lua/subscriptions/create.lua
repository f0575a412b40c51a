-- subscriptions/create: add a subscription, unless its subscriber has one.
-- KEYS  see subscriptions
-- ARGV  now, subscriber, ttl, options
-- Returns its id; false when the subscriber has one; -1 when there is no such queue.
-- include subscriptions
if redis.call('EXISTS', QUEUE) == 0 then return -1 end
local old = redis.call('HGET', SUBSCRIPTIONS, '=' .. ARGV[2])
if old and find(old) then return false end
local last = redis.call('HGET', QUEUE, 'last_subscription')
-- Kept with the queue, so that no id is reused after a deletion or a step of the clock.
local number = math.max(last and tonumber(last, 16) + 1 or 0, math.floor(now * 1000000))
local id = string.format('%016x', number)
redis.call('HSET', QUEUE, 'last_subscription', id)
store(id, {
  subscriber = ARGV[2], ttl = ARGV[3], ends = expiry(ARGV[3]), created = now, options = ARGV[4], confirmed = false,
})
if old then redis.call('HDEL', SUBSCRIPTIONS, old) end
return id
