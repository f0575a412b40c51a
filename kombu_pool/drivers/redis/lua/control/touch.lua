-- control/touch: count the seconds of one queue from now, if they count.
-- KEYS  1 lifetime by queue (hash)    2 last use by queue (hash)    3 queues by when they may be abandoned (zset)
--       4 holders by queue (zset)    5 queues by holder (zset)    6 holders by when they die (zset)
-- ARGV  now, queue's member
-- Returns nothing.
-- include clock
-- include consumers
local queue = ARGV[2]
if redis.call('HEXISTS', LAST_USED, queue) == 1 or is_held(queue) then
  set_last_used(queue, clock(ARGV[1]))
end
