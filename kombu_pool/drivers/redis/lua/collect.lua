-- collect: forget what has expired, and end the claims whose time is over.
-- include clock
-- include bell
-- include batches
-- include settle
-- include tickets
-- KEYS  those of settle
-- ARGV  now
-- Returns {what is to be done before there is no more: 'settle', 'mourn' or 'open', how many messages and claims went};
--   false when there is no such queue.
local state, now = open(ARGV[1])
if not state then return false end
return {state, gone + forget_posters(now, 500)}
