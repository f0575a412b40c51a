-- find: the messages with a key.
-- KEYS  see queue
-- ARGV  now, key
-- Returns them as `to_reply` of keyed does; false when there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
-- include keyed
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
return to_reply(with_key(ARGV[2]), now)
