-- count: how many messages there are in each state.
-- include clock
-- include wakeup
-- include batches
-- include states
-- KEYS  those of settle
-- ARGV  now
-- Returns {free, delayed, claimed, now}; false when there is no such queue; 'advance' or 'take_dead': run it again.
local state, now = open(ARGV[1])
if state ~= 'current' then return state end
local free, delayed, claimed = redis.call('ZCARD', KEYS[3]), redis.call('ZCARD', KEYS[4]), redis.call('ZCARD', KEYS[6])
return {free, delayed, claimed, string.format('%.6f', now)}
