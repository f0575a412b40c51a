-- claim: claim free messages in order.
-- KEYS  see queue
-- ARGV  see claim_free
-- Returns as claim_free does; 'absent' when there is no queue that bears the incarnation; 'advance' or 'take_dead': see
--   states.
-- include queue
local state, now = advance(ARGV[1], ARGV[2])
if state ~= 'current' then return state or 'absent' end
-- include claim_free
