-- control/unbind_queue: remove all bindings to one queue. Reads no other queue's bindings.
-- KEYS  see bindings
-- ARGV  the bounds of the bindings to it
-- Returns the stored names of their exchanges.
-- include bindings
local names = {}
for _, source in ipairs(remove_bindings_to(ARGV[1], ARGV[2])) do
  renew_generation(source)
  table.insert(names, string.match(source, '^%Z*%z(.*)$'))
end
return names
