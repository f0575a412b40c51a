-- control/remove_holders: end some holders, in every queue that they hold.
-- KEYS  1 lifetime by queue (hash)    2 last use by queue (hash)    3 queues by when they may be abandoned (zset)
--       4 holders by queue (zset)    5 queues by holder (zset)    6 holders by when they die (zset)
-- ARGV  now, holder...
-- Returns nothing.
-- include clock
-- include consumers
local now = clock(ARGV[1])
for i = 2, #ARGV do
  for _, queue in ipairs(queues_of(ARGV[i])) do
    end_holder(ARGV[i], queue, now)
  end
end
