-- control/live_consumers: list the live consumers of one queue.
-- KEYS  see consumers
-- ARGV  now, queue's member
-- Returns their names.
-- include consumers
local queue, now, live = ARGV[2], clock(ARGV[1]), {}
for _, entry in ipairs(redis.call('ZRANGEBYLEX', HOLDERS, span(queue .. '\0c'))) do
  local holder = string.sub(entry, #queue + 4)
  if end_of(holder, queue) > now then live[#live + 1] = holder end
end
return live
