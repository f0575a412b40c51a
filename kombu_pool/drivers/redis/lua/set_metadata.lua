-- set_metadata: replace a queue's metadata.
-- KEYS  QUEUE: see queue
-- ARGV  fields and their values; optional fields that are not among them are removed
-- Returns 1, or 0 when there is no such queue.
local QUEUE = KEYS[1]
-- include sealed
local incarnation = redis.call('HGET', QUEUE, 'incarnation')
if not incarnation then return 0 end
redis.call('HDEL', QUEUE, 'ttl', 'delay', 'max_claim_count', 'has_dlq', 'bounded', 'free_bytes')
redis.call('HSET', QUEUE, unpack(ARGV))
send_posts_to_post_bounded(incarnation)
return 1
