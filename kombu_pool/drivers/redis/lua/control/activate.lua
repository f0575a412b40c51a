-- control/activate: make an assignment active, and record its queue if it has no record.
-- KEYS  see lives
-- ARGV  now, queue, incarnation, record, then of a queue without a record: its lifetime in seconds or '', 1 when they
--   count from now on, and a first holder and its ttl if it gets one
-- Returns 1, or 0 when the assignment has another incarnation or another state than 'creating'.
-- include lives
local queue, incarnation, lifetime, holder = ARGV[2], ARGV[3], ARGV[5], ARGV[7]
local state, present, pool, _, move = find(queue)
if state ~= 'creating' or present ~= incarnation then return 0 end
set_assignment(queue, 'active', incarnation, pool, move)
if redis.call('HSETNX', RECORDS, queue, ARGV[4]) == 0 then return 1 end

redis.call('ZADD', RECORD_NAMES, 0, queue)
remove_lifetime(queue)
local now = clock(ARGV[1])
if lifetime ~= '' then set_lifetime(queue, lifetime, ARGV[6] == '1' and now or nil) end
if holder then add_holder(holder, queue, 'o', now + tonumber(ARGV[8])) end
return 1
