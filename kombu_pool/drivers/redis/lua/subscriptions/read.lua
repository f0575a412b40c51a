-- subscriptions/read: read the record of a queue's subscriptions.
-- KEYS  queue, subscriptions
-- ARGV  now
-- Returns {record, now}, with nil for no record.
-- include clock
return {redis.call('GET', KEYS[2]), string.format('%.6f', clock(ARGV[1]))}
