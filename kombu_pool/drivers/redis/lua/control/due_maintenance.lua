-- control/due_maintenance: read the epoch of the store, and list the queues that have expired and those that are DELETING.
-- KEYS  see lives, then the epoch
-- ARGV  now, limit of either list
-- Returns {the epoch if there is one, members of expired queues, {queues that are DELETING, their assignments}}.
-- include lives
-- include expired_queues
-- include deletions
local EPOCH, limit = KEYS[14], tonumber(ARGV[2])
return {redis.call('GET', EPOCH), expired_queues(clock(ARGV[1]), limit), deletions(limit)}
