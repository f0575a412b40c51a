-- control/begin_deletion: begin the deletion of one queue.
-- KEYS  see lives
-- ARGV  now, queue, incarnation
-- Returns 1, or 0 when the assignment has another incarnation.
-- include lives
local queue, incarnation = ARGV[2], ARGV[3]
local _, present, pool, _, move = find(queue)
if present ~= incarnation then return 0 end
begin_deletion(queue, incarnation, pool, move)
return 1
