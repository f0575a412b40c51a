-- control/find: read one queue's assignment, and when the queue expires.
-- KEYS  see lives
-- ARGV  now, queue
-- Returns {the assignment if there is one, seconds until it may expire or '' if it does not, 1 when it has expired}.
-- include lives
local queue = ARGV[2]
local _, _, _, stored = find(queue)
local now = clock(ARGV[1])
local expiry = expiry_of(queue, now)
if not expiry then return {stored or false, '', 0} end
return {stored or false, string.format('%.6f', expiry - now), expiry <= now and 1 or 0}
