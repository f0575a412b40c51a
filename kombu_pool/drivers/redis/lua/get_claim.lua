-- get_claim: look at a claim.
-- include clock
-- include wakeup
-- include batches
-- include states
-- KEYS  those of settle
-- ARGV  now, claim
-- Returns {since and ttl (two doubles), ids that it holds (joined), records, marks in `lent`, now}; false when it has
--   ended, or there is no such queue; 'advance' or 'take_dead': run it again.
local state, now = open(ARGV[1])
if state ~= 'current' then return state end
local lease = redis.call('HGET', KEYS[8], ARGV[2])
if not lease then return false end
local ids = {}
for index, member in ipairs(held(ARGV[2])) do ids[index] = string.sub(member, 1, 8) end
if #ids == 0 then return false end
return {string.sub(lease, 1, 16), table.concat(ids), looked_up('HMGET', KEYS[2], ids),
  looked_up('HMGET', KEYS[9], ids), string.format('%.6f', now)}
