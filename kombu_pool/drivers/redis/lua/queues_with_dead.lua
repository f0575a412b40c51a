-- queues_with_dead: the queues where somebody is to look for what is dead.
-- include clock
-- KEYS  1 dying (zset): queue -> when to look there
-- ARGV  now
-- Returns their keys.
local QUEUES_WITH_DEAD = KEYS[1]
return redis.call('ZRANGEBYSCORE', QUEUES_WITH_DEAD, '-inf', clock(ARGV[1]))
