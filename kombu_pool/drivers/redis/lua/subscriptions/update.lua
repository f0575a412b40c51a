-- subscriptions/update: change some of what a subscription says; a new ttl counts from now.
-- include clock
-- include subscriptions
-- KEYS  those of subscriptions
-- ARGV  now, id, then for each change what (subscriber, ttl, options or confirmed) and the new value
-- Returns 1; 0 when the new subscriber has another subscription; false when it is not there; -1 when there is no such
--   queue.
if redis.call('EXISTS', queue) == 0 then return -1 end
local id = ARGV[2]
local record = living(id)
if not record then return false end
local before = record.subscriber
for index = 3, #ARGV, 2 do record[ARGV[index]] = ARGV[index + 1] end
for index = 3, #ARGV, 2 do
  if ARGV[index] == 'ttl' then record.ends = expiry(record.ttl) end
end
record.confirmed = record.confirmed == true or record.confirmed == '1'
if record.subscriber == before then
  store(id, record)
  return 1
end
local other = redis.call('HGET', subscriptions, '=' .. record.subscriber)
if other and living(other) then return 0 end
store(id, record)
redis.call('HDEL', subscriptions, '=' .. before)
if other then redis.call('HDEL', subscriptions, other) end
return 1
