-- control/set_lifetime: let one queue expire when it was unused for its lifetime.
-- KEYS  see consumers
-- ARGV  now, queue's member, seconds, 1 when they count from now on
-- Returns nothing.
-- include consumers
set_lifetime(ARGV[2], ARGV[3], ARGV[4] == '1' and clock(ARGV[1]) or nil)
