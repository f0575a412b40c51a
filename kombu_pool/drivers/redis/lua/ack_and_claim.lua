-- ack_and_claim: delete messages under the claims that hold them, as ack does, and claim the next ones, as claim does.
-- KEYS  see queue
-- ARGV  see claim_free, then acknowledge
-- Returns {what ack returns, what claim returns}; 'absent' when there is no queue that bears the incarnation.
-- include queue
local first, answers = 11, {}
local state, now = advance(ARGV[1], ARGV[2], function(now)
-- include acknowledge
end)
if not state then return 'absent' end

local function claim_next()
-- include claim_free
end

return {answers, state ~= 'current' and state or claim_next() or false}
