-- due_times: the ids of the delayed messages that are due first, each with the time at which it is.
-- KEYS  see queue
-- ARGV  now, limit
-- Returns ids and times in turn; false when there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
local state = advance(ARGV[1])
if state ~= 'current' then return state end
return redis.call('ZRANGE', DELAYED, 0, tonumber(ARGV[2]) - 1, 'WITHSCORES')
