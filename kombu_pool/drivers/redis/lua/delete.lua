-- delete: forget one message, a claimed one only under its claim.
-- include clock
-- include wakeup
-- include batches
-- include states
-- KEYS  those of settle
-- ARGV  now, message, claim ('' for none)
-- Returns 1 when it is gone; false when there is no such queue; 'advance' or 'take_dead': run it again; else why it stays:
--   'claimed', 'unclaimed', 'claimed by another', 'no such claim'.
local state = open(ARGV[1])
if state ~= 'current' then return state end
local id, claim = ARGV[2], ARGV[3]
if redis.call('HEXISTS', KEYS[2], id) == 0 then return 1 end
local by = holder(id)
if not by and claim ~= '' then return 'unclaimed' end
if by and by ~= claim then
  if claim == '' then return 'claimed' end
  return redis.call('HEXISTS', KEYS[8], claim) == 1 and 'claimed by another' or 'no such claim'
end
remove({id})
return 1
