-- control/renew_holders: renew some holders in every queue that they hold.
-- KEYS  see consumers
-- ARGV  now, ttl, holder...
-- Returns the places of those that hold none.
-- include consumers
local ends = clock(ARGV[1]) + tonumber(ARGV[2])
local idle = {}
for i = 3, #ARGV do
  local queues = queues_of(ARGV[i])
  if #queues == 0 then idle[#idle + 1] = i - 3 end
  for _, queue in ipairs(queues) do
    redis.call('ZREM', HOLDER_ENDS, ARGV[i] .. '\0' .. queue)
    redis.call('ZADD', HOLDER_ENDS, ends, ARGV[i] .. '\0' .. queue)
    expire_after(queue, ends)
  end
end
return idle
