-- subscriptions/collect: delete the expired subscriptions of a queue.
-- KEYS  see subscriptions
-- ARGV  now
-- Returns how many were deleted.
-- include subscriptions
local count, found = 0, redis.call('HGETALL', SUBSCRIPTIONS)
for index = 1, #found, 2 do
  local id, stored = found[index], found[index + 1]
  if string.sub(id, 1, 1) ~= '=' then
    local record = cmsgpack.unpack(stored)
    if has_expired(record) then
      redis.call('HDEL', SUBSCRIPTIONS, id, '=' .. record.subscriber)
      count = count + 1
    end
  end
end
return count
