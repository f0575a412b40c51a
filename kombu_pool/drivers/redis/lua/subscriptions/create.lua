-- subscriptions/create: add a subscription, unless its subscriber has one.
-- KEYS  see subscriptions
-- ARGV  now, subscriber, ttl, options
-- Returns its id; false when the subscriber has one.
-- include subscriptions
local old = redis.call('HGET', SUBSCRIPTIONS, '=' .. ARGV[2])
if old and find(old) then return false end
local last = redis.call('HGET', QUEUE, 'last_subscription')
local number = math.max(last and tonumber(last, 16) + 1 or 0, math.floor(now * 1000000))
local id = string.format('%016x', number)
while redis.call('HEXISTS', SUBSCRIPTIONS, id) == 1 do
  number = number + 1
  id = string.format('%016x', number)
end
if redis.call('EXISTS', QUEUE) == 1 then
  -- Kept with the queue, so that no id is reused after a deletion or a step of the clock.
  redis.call('HSET', QUEUE, 'last_subscription', id)
end
store(id, {
  subscriber = ARGV[2], ttl = ARGV[3], ends = expiry(ARGV[3]), created = now, options = ARGV[4], confirmed = false,
})
if old then redis.call('HDEL', SUBSCRIPTIONS, old) end
set_expiry()
return id
