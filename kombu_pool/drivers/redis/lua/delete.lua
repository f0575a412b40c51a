-- delete: delete one message, a claimed one only under its claim.
-- KEYS  see queue
-- ARGV  now, message, claim ('' for none)
-- Returns 1 when the message is gone; false when there is no such queue; 'advance' or 'take_dead': see states; else why
--   it stays: 'claimed', 'unclaimed', 'claimed by another', 'no such claim'.
-- include queue
local state = advance(ARGV[1])
if state ~= 'current' then return state end
local id, claim = ARGV[2], ARGV[3]
if redis.call('HEXISTS', RECORDS, id) == 0 then return 1 end
local by = claim_of(id)
if not by and claim ~= '' then return 'unclaimed' end
if by and by ~= claim then
  if claim == '' then return 'claimed' end
  return redis.call('HEXISTS', CLAIMS, claim) == 1 and 'claimed by another' or 'no such claim'
end
delete_messages({id})
return 1
