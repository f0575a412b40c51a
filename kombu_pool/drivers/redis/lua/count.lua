-- count: count the messages in each state.
-- KEYS  see queue
-- ARGV  now
-- Returns {free, delayed, claimed, now, 1 if it is paused}; false when there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local free, delayed, claimed = redis.call('ZCARD', FREE), redis.call('ZCARD', DELAYED), redis.call('ZCARD', CLAIMED)
return {free, delayed, claimed, string.format('%.6f', now), paused and 1 or 0}
