-- control/remove_holders: end some holders in every queue that they hold.
-- KEYS  see consumers
-- ARGV  now, holder...
-- Returns nothing.
-- include consumers
local now = clock(ARGV[1])
for i = 2, #ARGV do
  for _, queue in ipairs(queues_of(ARGV[i])) do
    end_holder(ARGV[i], queue, now)
  end
end
