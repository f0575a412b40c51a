-- control/expire: begin the deletion of one queue, if it was unused for its lifetime.
-- KEYS  see lives
-- ARGV  now, queue, seconds to take for its lifetime or ''
-- Returns 1, or 0 when it has not expired.
-- include lives
local now, queue = clock(ARGV[1]), ARGV[2]
local last = last_use(queue)
local lifetime = ARGV[3] ~= '' and ARGV[3] or redis.call('HGET', LIFETIMES, queue)
if not last or not lifetime or last + tonumber(lifetime) > now then return 0 end
local _, incarnation, pool = find(queue)
if incarnation then
  begin_deletion(queue, incarnation, pool)
else
  forget(queue)
end
return 1
