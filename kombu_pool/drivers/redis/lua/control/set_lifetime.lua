-- control/set_lifetime: let one queue be abandoned after a while.
-- KEYS  1 lifetime by queue (hash)    2 last use by queue (hash)    3 queues by when they may be abandoned (zset)
--       4 holders by queue (zset)    5 queues by holder (zset)    6 holders by when they die (zset)
-- ARGV  now, queue's member, seconds, 1 when they count from now on
-- Returns nothing.
-- include clock
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
