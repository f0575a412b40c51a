-- claim_by_id: lend some messages to one claim, those of them that are free, wherever they stand.
-- include clock
-- include wakeup
-- include batches
-- include states
-- include extend_expiry
-- include hold_claim
-- KEYS  those of settle
-- ARGV  now, claim, ttl, grace, ids (joined)
-- Returns {ids lent (joined), their records, their marks in `lent`, now}; false when none is free, or there is no such
--   queue; 'advance' or 'take_dead': run it again.
local state, now = open(ARGV[1])
if state ~= 'current' then return state end
local claim, ttl, grace = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local ids = free_of(split(ARGV[5]))
if #ids == 0 then return false end
batched('ZREM', KEYS[3], ids)
weigh(ids, -1)
hold(claim, now, ttl, ids)
if redis.call('ZCARD', KEYS[5]) > 0 then prolong(ids, now + ttl, ttl, grace) end
if KEYS[10] and redis.call('ZCARD', KEYS[3]) == 0 then redis.call('DEL', KEYS[10]) end
return {table.concat(ids), looked_up('HMGET', KEYS[2], ids), looked_up('HMGET', KEYS[9], ids),
  string.format('%.6f', now)}
