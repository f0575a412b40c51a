-- first: the id of the first free message, or of the last.
-- KEYS  see queue
-- ARGV  now, '1' for the first, '-1' for the last
-- Returns the id; '' without any; false when there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
local state = advance(ARGV[1])
if state ~= 'current' then return state end
local rank = ARGV[2] == '1' and 0 or -1
return redis.call('ZRANGE', FREE, rank, rank)[1] or ''
