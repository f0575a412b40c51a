-- control/create_exchange: add one exchange, unless it is there.
-- KEYS  1 exchanges by member (hash)    2 the last generation    3 exchanges by name (zset)
-- ARGV  member, record
-- Returns 1, or 0 when it was there.
-- include bindings
if redis.call('HEXISTS', EXCHANGES, ARGV[1]) == 1 then
  return 0
end
redis.call('HSET', EXCHANGES, ARGV[1], next_generation() .. ARGV[2])
redis.call('ZADD', EXCHANGE_NAMES, 0, ARGV[1])
return 1
