-- control/deletions: read assignments that are DELETING.
-- KEYS  ASSIGNMENTS, DELETING: see deletions
-- ARGV  limit
-- Returns the queues and their assignments.
local ASSIGNMENTS, DELETING = unpack(KEYS)
-- include deletions
return deletions(ARGV[1])
