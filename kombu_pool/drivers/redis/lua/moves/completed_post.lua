-- moves/completed_post: read what is kept of a post.
-- KEYS  QUEUE: see queue
-- ARGV  idempotency key (two arguments): see idempotency
-- Returns what the producer's field has of its messages; false when the post was not stored.
local QUEUE = KEYS[1]
-- include is_duplicate
local kept = redis.call('HGET', QUEUE, ARGV[1])
return is_duplicate(kept, ARGV[2]) and string.sub(kept, 9, 16) .. string.sub(kept, 25)
