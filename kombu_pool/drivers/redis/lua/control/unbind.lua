-- control/unbind: remove one binding.
-- KEYS  see bindings
-- ARGV  binding
-- Returns 1, or 0 when it did not exist.
-- include bindings
local source = remove_binding(ARGV[1])
if not source then
  return 0
end
renew_generation(source)
return 1
