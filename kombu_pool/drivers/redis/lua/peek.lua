-- peek: whether there is something to claim or to bury, and else when there may be.
-- include clock
-- include wakeup
-- include batches
-- include states
-- KEYS  those of settle
-- ARGV  now
-- Returns 1 when there is, and the bell is rung; else the seconds until the next deadline, or '' without one; false
--   when there is no such queue.
local state, now = open(ARGV[1])
if not state then return false end
-- Whoever claims buries what is dead.
if state == 'take_dead' or (due and due <= now) then return 1 end
if state == 'advance' or redis.call('ZCARD', KEYS[3]) > 0 then
  if KEYS[10] then ring(KEYS[1], KEYS[10]) end
  return 1
end
if KEYS[10] then redis.call('DEL', KEYS[10]) end
local deadline = tonumber(redis.call('HGET', KEYS[1], 'next') or due)
if due and due < deadline then deadline = due end
return deadline and string.format('%.6f', deadline - now) or ''
