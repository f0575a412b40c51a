-- control/add_holder: add or renew one holder of one queue, and remove some that ended too long ago to be renewed.
-- KEYS  see lives
-- ARGV  now, queue's member, holder, ttl, "c" for a consumer or "o" for an owner, then the incarnation that the queue
--   must have if it must have one
-- Returns 1, or 0 when the queue has another incarnation, is DELETING, or has expired.
-- include lives
local LONG_ENDED, AT_ONCE = 86400, 20
local now, queue, incarnation = clock(ARGV[1]), ARGV[2], ARGV[6]
if incarnation then
  local state, present = find(queue)
  if present ~= incarnation or state == 'deleting' or has_expired(queue, now) then return 0 end
end
add_holder(ARGV[3], queue, ARGV[5], now + tonumber(ARGV[4]))

for _, entry in ipairs(redis.call('ZRANGEBYSCORE', HOLDER_ENDS, '-inf', now - LONG_ENDED, 'LIMIT', 0, AT_ONCE)) do
  local ended, held = string.match(entry, '^(%Z*)%z(.*)$')
  end_holder(ended, held, now)
end
return 1
