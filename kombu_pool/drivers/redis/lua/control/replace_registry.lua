-- control/replace_registry: replace the record of all pools and flavors, if it still has the version that was read.
-- KEYS  registry (hash: version, record, and a field for each pool's member), number of queues by pool's member (hash)
-- ARGV  version that was read or "", new version, record, member of a pool that must have no queues or "", member of
--   each pool...
-- Returns {1, 0} when it was replaced, {0, number of queues of that pool}, or {0, 0} when it has another version.
local REGISTRY, QUEUE_COUNTS = unpack(KEYS)
local version = redis.call('HGET', REGISTRY, 'version') or ''
if version == ARGV[2] then
  return {1, 0} -- the answer to the first run was lost
end
local queues = ARGV[4] ~= '' and redis.call('HGET', QUEUE_COUNTS, ARGV[4])
if version ~= ARGV[1] or queues then
  return {0, tonumber(queues or 0)}
end

if #ARGV[3] <= #(redis.call('HGET', REGISTRY, 'record') or '') then
  -- A full Redis refuses only the first write of a script: pools can be deleted from it.
  redis.call('HDEL', REGISTRY, 'record')
end
redis.call('HSET', REGISTRY, 'version', ARGV[2], 'record', ARGV[3])
local fields = {version = true, record = true}
for i = 5, #ARGV do
  fields[ARGV[i]] = true
  redis.call('HSET', REGISTRY, ARGV[i], '')
end
for _, field in ipairs(redis.call('HKEYS', REGISTRY)) do
  if not fields[field] then
    redis.call('HDEL', REGISTRY, field)
  end
end
return {1, 0}
