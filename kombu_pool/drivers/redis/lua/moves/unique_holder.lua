-- moves/unique_holder: the message that holds a unique id, also one that is put aside.
-- KEYS  see aside
-- ARGV  now, the id
-- Returns the message and its key; false when none holds it, or there is no queue; 'advance' or 'take_dead': see states.
-- include aside
-- include unique_holder
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
now_of_post = now
local message, key = holder(ARGV[2])
if message then return {message, key} end
local stored = redis.call('HGET', ASIDE, HOLD .. ARGV[2])
return stored and {string.sub(stored, 1, 8), string.sub(stored, 9)}
