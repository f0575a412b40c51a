-- control/count_consumers: count the live consumers of one queue.
-- KEYS  see consumers
-- ARGV  now, queue's member
-- Returns their number.
-- include consumers
return count_consumers(ARGV[2], clock(ARGV[1]))
