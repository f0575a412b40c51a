-- remove_dead: remove what is buried, and let what could not be buried wait until it is tried again.
-- include dead_letters
-- KEYS  those of dead
-- ARGV  now, the buried (joined), the others (joined), seconds
-- Returns 1; false when there is no such queue.
if redis.call('EXISTS', QUEUE) == 0 then return false end
delete_dead(split(ARGV[2], MEMBER))
local others = split(ARGV[3], MEMBER)
redis.call('HDEL', QUEUE, 'dead_due')
reserve(others, 0)
schedule(#others > 0 and clock(ARGV[1]) + tonumber(ARGV[4]))
return 1
