-- control/touch: restart the lifetime of one queue, if it has begun.
-- KEYS  see consumers
-- ARGV  now, queue's member
-- Returns 1, or 0 when the queue has expired.
-- include consumers
local now, queue = clock(ARGV[1]), ARGV[2]
if has_expired(queue, now) then return 0 end
if redis.call('HEXISTS', LAST_USED, queue) == 1 or is_held(queue) then
  set_last_used(queue, now)
end
return 1
