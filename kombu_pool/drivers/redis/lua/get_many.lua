-- get_many: look at messages by their ids.
-- include queue
-- KEYS  those of settle
-- ARGV  now, messages (joined)
-- Returns {records, marks in `lent`, claims that hold them, now}, with nil for what is not there; false when there is
--   no such queue; 'advance' or 'take_dead': run it again.
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local ids, holders = split(ARGV[2]), {}
if #ids == 0 then return {{}, {}, {}, string.format('%.6f', now)} end
for index, id in ipairs(ids) do holders[index] = claim_of(id) or false end
return {lookup('HMGET', RECORDS, ids), lookup('HMGET', CLAIM_COUNTS, ids), holders, string.format('%.6f', now)}
