-- collect: forget what has expired, and end the claims whose time is over.
-- include queue
-- include idempotency
-- KEYS  those of settle
-- ARGV  now
-- Returns {what is to be done before there is no more: 'advance', 'take_dead' or 'current', how many messages and claims went};
--   false when there is no such queue.
local state, now = advance(ARGV[1])
if not state then return false end
return {state, collected + delete_old_producers(now, 500)}
