-- control/get_queue: read one queue's record.
-- KEYS  see lives
-- ARGV  now, queue
-- Returns the record; false when there is no such queue, or it has expired.
-- include lives
local queue = ARGV[2]
return not has_expired(queue, clock(ARGV[1])) and redis.call('HGET', RECORDS, queue)
