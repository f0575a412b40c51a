-- control/delete_pool: delete one pool, unless it is in use.
-- KEYS  pools by member (hash), pools by name (zset), flavors by name, then project (zset), number of queues by pool's
--   member (hash)
-- ARGV  member
-- Returns {"queues", their number}, {"flavor", its name} if it is the flavor's last pool, or {"", ""}.
local POOLS, POOL_NAMES, FLAVORS_BY_NAME, QUEUE_COUNTS = unpack(KEYS)
local record = redis.call('HGET', POOLS, ARGV[1])
if not record then
  return {'', ''}
end
local queues = redis.call('HGET', QUEUE_COUNTS, ARGV[1])
if queues then
  return {'queues', queues}
end

local function flavor_of(pool)
  return string.match(pool, '^%Z*%z%Z*%z(%Z*)%z')
end
local flavor = flavor_of(record)
if flavor ~= '' and redis.call('ZLEXCOUNT', FLAVORS_BY_NAME, '[' .. flavor .. '\0', '(' .. flavor .. '\1') > 0 then
  local pools = 0
  for _, other in ipairs(redis.call('HVALS', POOLS)) do
    if flavor_of(other) == flavor then
      pools = pools + 1
    end
  end
  if pools == 1 then
    return {'flavor', flavor}
  end
end
redis.call('HDEL', POOLS, ARGV[1])
redis.call('ZREM', POOL_NAMES, ARGV[1])
return {'', ''}
