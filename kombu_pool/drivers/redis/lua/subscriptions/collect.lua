-- subscriptions/collect: remove the subscriptions that have expired.
-- include clock
-- include subscriptions
-- KEYS  those of subscriptions
-- ARGV  now
-- Returns how many went.
local count, found = 0, redis.call('HGETALL', subscriptions)
for index = 1, #found, 2 do
  local id, stored = found[index], found[index + 1]
  if string.sub(id, 1, 1) ~= '=' then
    local record = cmsgpack.unpack(stored)
    if has_expired(record) then
      redis.call('HDEL', subscriptions, id, '=' .. record.subscriber)
      count = count + 1
    end
  end
end
return count
