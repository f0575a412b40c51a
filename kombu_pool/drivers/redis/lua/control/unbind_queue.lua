-- control/unbind_queue: remove all bindings to one queue.
-- KEYS  1 exchanges by member (hash)    2 the last generation    3 bindings (hash)    4 bindings by exchange (zset)
--       5 bindings by destination (zset)
-- ARGV  the bounds of the bindings to it
-- Returns the stored names of the exchanges that they came from. Looks at no other queue's bindings.
-- include bindings
local names = {}
for _, source in ipairs(remove_bindings_to(ARGV[1], ARGV[2])) do
  renew_generation(source)
  table.insert(names, string.match(source, '^%Z*%z(.*)$'))
end
return names
