-- control/count_consumers: count the living consumers of one queue.
-- KEYS  1 lifetime by queue (hash)    2 last use by queue (hash)    3 queues by when they may be abandoned (zset)
--       4 holders by queue (zset)    5 queues by holder (zset)    6 holders by when they die (zset)
-- ARGV  now, the bounds of its consumers
-- Returns their number. Looks at its dead consumers, too.
-- include clock
local HOLDERS, HOLDER_ENDS = KEYS[4], KEYS[6]
local now, living = clock(ARGV[1]), 0
for _, entry in ipairs(redis.call('ZRANGEBYLEX', HOLDERS, ARGV[2], ARGV[3])) do
  local queue, holder = string.match(entry, '^(%Z*%z%Z*)%zc%z(.*)$')
  if tonumber(redis.call('ZSCORE', HOLDER_ENDS, holder .. '\0' .. queue)) > now then
    living = living + 1
  end
end
return living
