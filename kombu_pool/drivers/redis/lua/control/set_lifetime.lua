-- control/set_lifetime: let one queue expire when it was unused for its lifetime.
-- KEYS  see consumers
-- ARGV  now, queue's member, seconds, 1 when they count from now on
-- Returns nothing.
-- include consumers
local queue = ARGV[2]
redis.call('HDEL', LIFETIMES, queue)
redis.call('HSET', LIFETIMES, queue, ARGV[3])
local used = redis.call('HGET', LAST_USED, queue)
if ARGV[4] == '1' then
  set_last_used(queue, clock(ARGV[1]))
elseif used then
  expire_after(queue, tonumber(used))
elseif is_held(queue) then
  expire_after(queue, 0)
end
