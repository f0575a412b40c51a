-- control/due_maintenance: read the epoch of the store, list the queues that have expired and those that are DELETING, and
-- list the live holders whose names begin with a text; look for queues with a move.
-- KEYS  see lives, then the epoch
-- ARGV  now, limit of either list of queues, text ('' for no holders)
-- Returns {the epoch if there is one, members of expired queues, {queues that are DELETING, their assignments}, holders,
--   1 if some queue has a move}.
-- include lives
-- include expired_queues
-- include deletions
-- include live_holders
local EPOCH, now, limit, text = KEYS[16], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
return {
  redis.call('GET', EPOCH), expired_queues(now, limit), deletions(limit), text ~= '' and live_holders(text, now) or {},
  redis.call('EXISTS', MOVES),
}
