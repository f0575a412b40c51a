-- claim_by_id: lend some messages to one claim, those of them that are free, wherever they stand.
-- include queue
-- include hold_claim
-- KEYS  those of settle
-- ARGV  now, claim, ttl, grace, ids (joined)
-- Returns {ids lent (joined), their records, their marks in `lent`, now}; false when none is free, or there is no such
--   queue; 'advance' or 'take_dead': run it again.
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local claim, ttl, grace = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local ids = only_free(split(ARGV[5]))
if #ids == 0 then return false end
batched('ZREM', FREE, ids)
count_bytes(ids, -1)
hold_claim(claim, now, ttl, ids)
if redis.call('ZCARD', EXPIRING) > 0 then extend_expiry(ids, now + ttl, ttl, grace) end
if WAKEUP and redis.call('ZCARD', FREE) == 0 then redis.call('DEL', WAKEUP) end
return {table.concat(ids), lookup('HMGET', RECORDS, ids), lookup('HMGET', CLAIM_COUNTS, ids),
  string.format('%.6f', now)}
