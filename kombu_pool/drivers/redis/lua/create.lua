-- create: make a queue, unless it is there.
-- KEYS  1 queue (hash)
-- ARGV  the number before its first message's, then fields and their values
-- Returns 1, or 0 when it was there.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'last', ARGV[1], unpack(ARGV, 2))
return 1
