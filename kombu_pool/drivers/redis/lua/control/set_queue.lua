-- control/set_queue: replace one queue's record.
-- KEYS  see lives
-- ARGV  now, queue, record
-- Returns 1, or 0 when there is no such queue, or it has expired.
-- include lives
local queue = ARGV[2]
if redis.call('HEXISTS', RECORDS, queue) == 0 or has_expired(queue, clock(ARGV[1])) then return 0 end
redis.call('HSET', RECORDS, queue, ARGV[3])
return 1
