-- claim_by_id: claim those of the given messages that are free, wherever they are in the order.
-- KEYS  see queue
-- ARGV  now, claim, ttl, grace, ids (joined), tag of the claim's holder
-- Returns {ids claimed (joined), their records, their claim counts, now}; false when none is free, or there is no such
--   queue; 'advance' or 'take_dead': see states.
-- include queue
-- include hold_claim
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local claim, ttl, grace = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local ids = only_free(split(ARGV[5]))
if #ids == 0 then return false end
batched('ZREM', FREE, ids)
count_bytes(ids, -1)
hold_claim(claim, ARGV[6], now, ttl, ids)
if redis.call('ZCARD', EXPIRING) > 0 then extend_expiry(ids, now + ttl, ttl, grace) end
if WAKEUP and redis.call('ZCARD', FREE) == 0 then redis.call('DEL', WAKEUP) end
return {table.concat(ids), lookup('HMGET', RECORDS, ids), lookup('HMGET', CLAIM_COUNTS, ids),
  string.format('%.6f', now)}
