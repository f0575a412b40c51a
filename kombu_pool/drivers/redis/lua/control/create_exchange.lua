-- control/create_exchange: add one exchange, unless it exists.
-- KEYS  see bindings
-- ARGV  member, record
-- Returns 1, or 0 when it existed.
-- include bindings
if redis.call('HEXISTS', EXCHANGES, ARGV[1]) == 1 then
  return 0
end
redis.call('HSET', EXCHANGES, ARGV[1], next_generation() .. ARGV[2])
redis.call('ZADD', EXCHANGE_NAMES, 0, ARGV[1])
return 1
