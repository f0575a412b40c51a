-- subscriptions/update: change fields of a subscription; a new ttl counts from now.
-- KEYS  see subscriptions
-- ARGV  now, id, then for each change the field (subscriber, ttl, options or confirmed) and the new value
-- Returns 1; 0 when the new subscriber has another subscription; false when there is no such subscription.
-- include subscriptions
local id = ARGV[2]
local record = find(id)
if not record then return false end
local before = record.subscriber
for index = 3, #ARGV, 2 do record[ARGV[index]] = ARGV[index + 1] end
for index = 3, #ARGV, 2 do
  if ARGV[index] == 'ttl' then record.ends = expiry(record.ttl) end
end
record.confirmed = record.confirmed == true or record.confirmed == '1'
if record.subscriber ~= before then
  local other = redis.call('HGET', SUBSCRIPTIONS, '=' .. record.subscriber)
  if other and find(other) then return 0 end
  redis.call('HDEL', SUBSCRIPTIONS, '=' .. before, other or '')
end
store(id, record)
set_expiry()
return 1
