-- wake: wake one watch of a queue, or the next one that waits; in a Redis Cluster, all of them.
-- A list with one entry wakes exactly one. A cluster has none: no client there can wait for lists of several queues.
local function wake(queue, wakeup)
  if not wakeup then
    redis.call('PUBLISH', queue, '')
  elseif redis.call('LLEN', wakeup) == 0 then
    redis.pcall('LPUSH', wakeup, '')  -- may be refused when Redis is out of memory: watches scan again by themselves
  end
end

