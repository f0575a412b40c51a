-- delayed: the ids of the delayed messages that are due first.
-- KEYS  see queue
-- ARGV  now, limit
-- Returns the ids (joined); false when there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
local state = advance(ARGV[1])
if state ~= 'current' then return state end
return table.concat(redis.call('ZRANGE', DELAYED, 0, tonumber(ARGV[2]) - 1))
