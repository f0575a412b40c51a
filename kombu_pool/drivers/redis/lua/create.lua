-- create: create a queue, unless it exists.
-- KEYS  QUEUE: see queue
-- ARGV  number before the first message's, then fields and their values
-- Returns 1, or 0 when it existed.
local QUEUE = KEYS[1]
if redis.call('EXISTS', QUEUE) == 1 then return 0 end
redis.call('HSET', QUEUE, 'last', ARGV[1], unpack(ARGV, 2))
return 1
