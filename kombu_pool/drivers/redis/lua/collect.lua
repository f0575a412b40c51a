-- collect: delete expired messages and old producers, and end the claims whose time is over.
-- KEYS  see queue
-- ARGV  now
-- Returns {'current', 'advance' or 'take_dead', how many were deleted or ended}; false when there is no such queue.
-- include queue
-- include idempotency
local state, now = advance(ARGV[1])
if not state then return false end
return {state, collected + delete_old_producers(now, 500)}
