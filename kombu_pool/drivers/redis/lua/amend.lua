-- amend: replace what a queue's metadata says.
-- KEYS  1 queue (hash)
-- ARGV  fields and their values; all of them
-- Returns 1, or 0 when there is no such queue.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
