-- first: the id of the first free message, or of the last.
-- include queue
-- KEYS  those of settle
-- ARGV  now, '1' for the first, '-1' for the last
-- Returns the id; '' without any; false when there is no such queue; 'advance' or 'take_dead': run it again.
local state = advance(ARGV[1])
if state ~= 'current' then return state end
local rank = ARGV[2] == '1' and 0 or -1
return redis.call('ZRANGE', FREE, rank, rank)[1] or ''
