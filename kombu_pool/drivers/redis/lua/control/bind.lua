-- control/bind: add one binding, unless it exists.
-- KEYS  see bindings
-- ARGV  binding, members of the exchanges that must exist, its source first
-- Returns {1 when it was added, place of the first of these members that does not exist or 0}.
-- include bindings
for place = 2, #ARGV do
  if redis.call('HEXISTS', EXCHANGES, ARGV[place]) == 0 then
    return {0, place - 1}
  end
end
if redis.call('HEXISTS', BINDINGS, ARGV[1]) == 1 then
  return {0, 0}
end
renew_generation(ARGV[2])
local number = redis.call('GET', GENERATION)
local from, to = entries(ARGV[1], number)
redis.call('HSET', BINDINGS, ARGV[1], number)
redis.call('ZADD', BY_EXCHANGE, 0, from)
redis.call('ZADD', BY_DESTINATION, 0, to)
return {1, 0}
