-- subscriptions/delete: delete a subscription, if it exists.
-- KEYS  see subscriptions
-- ARGV  now, id
-- Returns how many were deleted.
-- include subscriptions
local stored = redis.call('HGET', SUBSCRIPTIONS, ARGV[2])
if not stored then return 0 end
redis.call('HDEL', SUBSCRIPTIONS, ARGV[2], '=' .. cmsgpack.unpack(stored).subscriber)
set_expiry()
return 1
