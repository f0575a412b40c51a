-- control/touch: restart the lifetime of one queue, if it has begun.
-- KEYS  see consumers
-- ARGV  now, queue's member
-- Returns nothing.
-- include consumers
local queue = ARGV[2]
if redis.call('HEXISTS', LAST_USED, queue) == 1 or is_held(queue) then
  set_last_used(queue, clock(ARGV[1]))
end
