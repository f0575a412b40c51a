-- control/expired_queues: list queues without a holder for longer than their lifetime.
-- KEYS  see consumers
-- ARGV  now, limit
-- Returns the queues' members.
-- include consumers
-- include expired_queues
return expired_queues(clock(ARGV[1]), tonumber(ARGV[2]))
