-- queues_with_dead: the queues where somebody is to look for what is dead.
-- include clock
-- KEYS  1 dying (zset): queue -> when to look there
-- ARGV  now
-- Returns their keys.
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', clock(ARGV[1]))
