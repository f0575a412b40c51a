-- remove_dead: remove what is buried, and let what could not be buried wait until it is tried again.
-- include clock
-- include wakeup
-- include batches
-- include states
-- include dead_letters
-- KEYS  those of dead
-- ARGV  now, the buried (joined), the others (joined), seconds
-- Returns 1; false when there is no such queue.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
forget_dead(split(ARGV[2], MEMBER))
local others = split(ARGV[3], MEMBER)
redis.call('HDEL', KEYS[1], 'dead_due')
park(others, 0)
arrange(#others > 0 and clock(ARGV[1]) + tonumber(ARGV[4]))
return 1
