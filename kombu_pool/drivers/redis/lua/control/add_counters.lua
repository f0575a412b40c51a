-- control/add_counters: add to the counters of queues.
-- KEYS  see lives
-- ARGV  for each queue its member, the incarnation that its assignment must have, and a map of what to add (MessagePack)
-- Returns nothing.
-- include lives
for index = 1, #ARGV, 3 do
  local queue = ARGV[index]
  local state, incarnation = find(queue)
  if state and state ~= 'deleting' and incarnation == ARGV[index + 1] then
    local stored = redis.call('HGET', COUNTERS, queue)
    local sums = stored and cmsgpack.unpack(stored) or {}
    for name, count in pairs(cmsgpack.unpack(ARGV[index + 2])) do sums[name] = (sums[name] or 0) + count end
    redis.call('HSET', COUNTERS, queue, cmsgpack.pack(sums))
  end
end
