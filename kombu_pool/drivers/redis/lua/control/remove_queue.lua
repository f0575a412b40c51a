-- control/remove_queue: remove one queue's lifetime and its holders.
-- KEYS  see consumers
-- ARGV  now, queue's member
-- Returns nothing.
-- include consumers
forget(ARGV[2])
