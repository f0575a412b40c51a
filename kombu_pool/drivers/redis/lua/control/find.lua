-- control/find: read one queue's assignment, when the queue expires, and its record if that is asked for.
-- KEYS  see lives
-- ARGV  now, queue, 1 when the record is asked for
-- Returns {the assignment if there is one, seconds until it may expire or '' if it does not, 1 when it has expired,
--   the record if there is one}.
-- include lives
local queue = ARGV[2]
local _, _, _, stored = find(queue)
local now = clock(ARGV[1])
local record = ARGV[3] == '1' and redis.call('HGET', RECORDS, queue)
local expiry = expiry_of(queue, now)
if not expiry then return {stored or false, '', 0, record} end
return {stored or false, string.format('%.6f', expiry - now), expiry <= now and 1 or 0, expiry > now and record}
