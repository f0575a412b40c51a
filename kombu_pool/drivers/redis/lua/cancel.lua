-- cancel: delete the messages with a key that no claim holds.
-- KEYS  see queue
-- ARGV  now, key
-- Returns {the deleted, the claimed}, as `to_reply` of keyed does; false when there is no such queue; 'advance' or
--   'take_dead': see states.
-- include queue
-- include keyed
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local waiting, claimed = waiting_and_claimed(with_key(ARGV[2]))
local reply = {to_reply(waiting, now), to_reply(claimed, now)}
if #waiting > 0 then delete_messages(waiting) end
return reply
