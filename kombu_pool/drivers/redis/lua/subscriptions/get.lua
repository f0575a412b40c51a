-- subscriptions/get: read one subscription.
-- KEYS  see subscriptions
-- ARGV  now, its id, or "=" and its subscriber
-- Returns its view; false when there is none.
-- include subscriptions
local id = ARGV[2]
if string.sub(id, 1, 1) == '=' then id = redis.call('HGET', SUBSCRIPTIONS, id) end
local record = id and find(id)
return record and view(id, record) or false
