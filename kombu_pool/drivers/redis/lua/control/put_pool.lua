-- control/put_pool: write one pool, unless it lacks a capability of its flavor or has another pool's URI. Reads every
-- pool: they are few, and this is rare.
-- KEYS  pools by member (hash), pools by name (zset), capabilities by flavor's member (hash), flavors by name, then
--   project (zset)
-- ARGV  member, record, URI, flavor or "", the record that must be there before or "", the pool's capabilities...
-- Returns {"lacks", capability...}, {"taken", member of the other pool}, {"changed"} when another record is there, or
--   {"put"}. A record is URI, weight, flavor ("" for none) and options, a NUL between two.
local POOLS, POOL_NAMES, FLAVORS, FLAVORS_BY_NAME = unpack(KEYS)
local member, record, uri, flavor, before = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if before ~= '' and redis.call('HGET', POOLS, member) ~= before then
  return {'changed'}
end

local can = {}
for i = 6, #ARGV do
  can[ARGV[i]] = true
end
local answer = {'lacks'}
local first, last = '[' .. flavor .. '\0', '(' .. flavor .. '\1'
local entries = flavor == '' and {} or redis.call('ZRANGEBYLEX', FLAVORS_BY_NAME, first, last)
for _, entry in ipairs(entries) do
  local project = string.sub(entry, #flavor + 2)
  for _, capability in ipairs(cmsgpack.unpack(redis.call('HGET', FLAVORS, project .. '\0' .. flavor))) do
    if not can[capability] then
      can[capability] = true
      table.insert(answer, tostring(capability))
    end
  end
end
if #answer > 1 then
  return answer
end

local pools = redis.call('HGETALL', POOLS)
for i = 1, #pools, 2 do
  if pools[i] ~= member and string.match(pools[i + 1], '^%Z*') == uri then
    return {'taken', pools[i]}
  end
end
redis.call('HSET', POOLS, member, record)
redis.call('ZADD', POOL_NAMES, 0, member)
return {'put'}
