-- queues_with_dead: list the queues whose dead letters are due.
-- KEYS  QUEUES_WITH_DEAD: see dead_letters
-- ARGV  now
-- Returns their keys.
-- include clock
local QUEUES_WITH_DEAD = KEYS[1]
return redis.call('ZRANGEBYSCORE', QUEUES_WITH_DEAD, '-inf', clock(ARGV[1]))
