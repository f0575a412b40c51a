-- ring: wake one of those who wait for a queue, or the next one to wait; on a Redis Cluster, all of them.
-- A list with one entry wakes exactly one; but in a cluster nobody can wait for lists of several queues at once.
local function wake(queue, wakeup)
  if not wakeup then
    redis.call('PUBLISH', queue, '')
  elseif redis.call('LLEN', wakeup) == 0 then
    redis.pcall('LPUSH', wakeup, '')  -- a Redis that is out of memory may refuse it: they look again by themselves
  end
end

