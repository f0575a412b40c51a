-- control/live_holders: list the live holders whose names begin with a text.
-- KEYS  see consumers
-- ARGV  now, text
-- Returns their names.
-- include consumers
-- include live_holders
return live_holders(ARGV[2], clock(ARGV[1]))
