-- control/unbind: remove one binding.
-- KEYS  1 exchanges by member (hash)    2 the last generation    3 bindings (hash)    4 bindings by exchange (zset)
--       5 bindings by destination (zset)
-- ARGV  binding
-- Returns 1, or 0 when it was not there.
-- include bindings
local source = remove_binding(ARGV[1])
if not source then
  return 0
end
renew_generation(source)
return 1
