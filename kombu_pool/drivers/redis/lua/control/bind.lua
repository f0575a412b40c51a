-- control/bind: add one binding, unless it exists.
-- KEYS  see bindings
-- ARGV  binding, member of its source, member of its destination if that is an exchange or '', then the queue's member
--   and the incarnation that it must have if it must have one, and not be DELETING
-- Returns {1 when it was added, 1 or 2 when the first or the second of these members does not exist, 3 when the queue
--   does not, else 0}.
-- include bindings
for place = 2, 3 do
  if ARGV[place] ~= '' and redis.call('HEXISTS', EXCHANGES, ARGV[place]) == 0 then
    return {0, place - 1}
  end
end
if ARGV[4] then
  local state, incarnation = find(ARGV[4])
  if incarnation ~= ARGV[5] or state == 'deleting' then return {0, 3} end
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
