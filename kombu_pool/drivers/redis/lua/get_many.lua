-- get_many: read messages by their ids.
-- KEYS  see queue
-- ARGV  now, messages (joined)
-- Returns {records, claim counts, claims that hold them, now}, with nil for each missing one; false when there is no
--   such queue; 'advance' or 'take_dead': see states.
-- include queue
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local ids, holders = split(ARGV[2]), {}
if #ids == 0 then return {{}, {}, {}, string.format('%.6f', now)} end
for index, id in ipairs(ids) do holders[index] = claim_of(id) or false end
return {lookup('HMGET', RECORDS, ids), lookup('HMGET', CLAIM_COUNTS, ids), holders, string.format('%.6f', now)}
