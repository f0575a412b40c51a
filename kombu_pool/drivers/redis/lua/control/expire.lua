-- control/expire: begin the deletion of one queue, if it was unused for its lifetime, or has no consumer.
-- KEYS  see lives
-- ARGV  now, queue, then the incarnation that it must have to be deleted if it has no live consumer now, whatever its
--   lifetime and its other holders
-- Returns 1, or 0 when it is not deleted.
-- include lives
local now, queue, unused = clock(ARGV[1]), ARGV[2], ARGV[3]
local state, incarnation, pool, _, move = find(queue)
if unused then
  if state == 'deleting' or incarnation ~= unused or count_consumers(queue, now) > 0 then return 0 end
elseif not has_expired(queue, now) then
  return 0
end

if incarnation then
  begin_deletion(queue, incarnation, pool, move)
else
  forget(queue)
end
return 1
