-- subscriptions/get: one subscription.
-- include clock
-- include subscriptions
-- KEYS  those of subscriptions
-- ARGV  now, its id, or "=" and its subscriber
-- Returns what is shown of it; false when it is not there; -1 when there is no such queue.
if redis.call('EXISTS', queue) == 0 then return -1 end
local id = ARGV[2]
if string.sub(id, 1, 1) == '=' then id = redis.call('HGET', subscriptions, id) end
local record = id and living(id)
return record and shown(id, record) or false
