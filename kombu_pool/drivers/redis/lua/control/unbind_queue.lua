-- control/unbind_queue: remove all bindings to one queue. Reads no other queue's bindings.
-- KEYS  see bindings
-- ARGV  the bounds of the bindings to it, then the queue's member and the incarnation that it must have if it must have
--   one, and be DELETING
-- Returns the stored names of their exchanges.
-- include bindings
local names = {}
if ARGV[3] then
  local state, incarnation = find(ARGV[3])
  if incarnation ~= ARGV[4] or state ~= 'deleting' then return names end
end
for _, source in ipairs(remove_bindings_to(ARGV[1], ARGV[2])) do
  renew_generation(source)
  table.insert(names, string.match(source, '^%Z*%z(.*)$'))
end
return names
