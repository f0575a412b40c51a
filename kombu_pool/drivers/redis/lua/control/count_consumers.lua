-- control/count_consumers: count the live consumers of one queue. Reads its ended consumers, too.
-- KEYS  see consumers
-- ARGV  now, the bounds of its consumers
-- Returns their number.
-- include clock
local HOLDERS, HOLDER_ENDS = KEYS[4], KEYS[6]
local now, live = clock(ARGV[1]), 0
for _, entry in ipairs(redis.call('ZRANGEBYLEX', HOLDERS, ARGV[2], ARGV[3])) do
  local queue, holder = string.match(entry, '^(%Z*%z%Z*)%zc%z(.*)$')
  if tonumber(redis.call('ZSCORE', HOLDER_ENDS, holder .. '\0' .. queue)) > now then
    live = live + 1
  end
end
return live
