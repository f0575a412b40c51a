-- remove_dead: remove dead letters that were delivered, and let the failed ones wait for the next attempt.
-- KEYS  see dead_letters
-- ARGV  now, the delivered (joined), the failed (joined), seconds until the next attempt
-- Returns 1; false when there is no such queue.
-- include dead_letters
if redis.call('EXISTS', QUEUE) == 0 then return false end
delete_dead(split(ARGV[2], MEMBER))
local failed = split(ARGV[3], MEMBER)
redis.call('HDEL', QUEUE, 'dead_due')
reserve(failed, 0)
schedule(#failed > 0 and clock(ARGV[1]) + tonumber(ARGV[4]))
return 1
