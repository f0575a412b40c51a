-- control/add_holder: add or renew one holder of one queue, and remove some that ended too long ago to be renewed.
-- KEYS  see consumers
-- ARGV  now, queue's member, holder, ttl, "c" for a consumer or "o" for an owner
-- Returns nothing.
-- include consumers
local LONG_ENDED, AT_ONCE = 86400, 20
local now, queue, holder, kind = clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[5]
local ends = now + tonumber(ARGV[4])
remove_holder(holder, queue)
redis.call('ZADD', HOLDERS, 0, queue .. '\0' .. kind .. '\0' .. holder)
redis.call('ZADD', HELD_QUEUES, 0, holder .. '\0' .. queue)
redis.call('ZADD', HOLDER_ENDS, ends, holder .. '\0' .. queue)
expire_after(queue, ends)

for _, entry in ipairs(redis.call('ZRANGEBYSCORE', HOLDER_ENDS, '-inf', now - LONG_ENDED, 'LIMIT', 0, AT_ONCE)) do
  local ended, held = string.match(entry, '^(%Z*)%z(.*)$')
  end_holder(ended, held, now)
end
