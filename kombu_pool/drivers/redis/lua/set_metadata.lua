-- set_metadata: replace a queue's metadata.
-- KEYS  QUEUE: see queue
-- ARGV  fields and their values; optional fields that are not among them are removed
-- Returns 1, or 0 when there is no such queue.
local QUEUE = KEYS[1]
if redis.call('EXISTS', QUEUE) == 0 then return 0 end
redis.call('HDEL', QUEUE, 'ttl', 'delay', 'max_claim_count', 'has_dlq', 'bounded', 'free_bytes')
redis.call('HSET', QUEUE, unpack(ARGV))
return 1
