-- peek: return whether there is something to claim or to dead-letter, and otherwise when there may be.
-- KEYS  see queue
-- ARGV  now
-- Returns 1 when there is; else the seconds until the next deadline, or '' without one; false when
--   there is no such queue.
-- include queue
local state, now = advance(ARGV[1])
if not state then return false end
-- The deletion must wake watches; refused without harm when Redis is out of memory.
if WAKEUP then redis.pcall('HSETNX', QUEUE, 'watched', 1) end
-- A consumer's claim also dead-letters what is dead.
if state == 'take_dead' or (dead_due and dead_due <= now) then return 1 end
if state == 'advance' or (not paused and redis.call('ZCARD', FREE) > 0) then
  if WAKEUP then wake(QUEUE, WAKEUP) end
  return 1
end
if WAKEUP then redis.call('DEL', WAKEUP) end
local deadline = tonumber(redis.call('HGET', QUEUE, 'next') or dead_due)
if dead_due and dead_due < deadline then deadline = dead_due end
return deadline and string.format('%.6f', deadline - now) or ''
