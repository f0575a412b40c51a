-- subscriptions/delete: remove a subscription, if it is there.
-- include clock
-- include subscriptions
-- KEYS  those of subscriptions
-- ARGV  now, id
-- Returns how many went.
local stored = redis.call('HGET', subscriptions, ARGV[2])
if not stored then return 0 end
redis.call('HDEL', subscriptions, ARGV[2], '=' .. cmsgpack.unpack(stored).subscriber)
return 1
