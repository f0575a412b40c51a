-- collect: forget what has expired, and end the claims whose time is over.
-- include clock
-- include wakeup
-- include batches
-- include states
-- include idempotency
-- KEYS  those of settle
-- ARGV  now
-- Returns {what is to be done before there is no more: 'advance', 'take_dead' or 'current', how many messages and claims went};
--   false when there is no such queue.
local state, now = open(ARGV[1])
if not state then return false end
return {state, gone + forget_posters(now, 500)}
