-- set_metadata: replace what a queue's metadata says.
-- KEYS  1 queue (hash)
-- ARGV  fields and their values; those that few queues have go unless they are named
-- Returns 1, or 0 when there is no such queue.
local QUEUE = KEYS[1]
if redis.call('EXISTS', QUEUE) == 0 then return 0 end
redis.call('HDEL', QUEUE, 'has_dlq', 'bounded', 'free_bytes')
redis.call('HSET', QUEUE, unpack(ARGV))
return 1
