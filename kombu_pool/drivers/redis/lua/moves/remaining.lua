-- moves/remaining: count the messages of a queue in any state, also those that are put aside.
-- KEYS  see aside
-- ARGV  now, incarnation that the queue must bear
-- Returns {their number, now}; 'absent' when there is no queue, 'another' when it bears another incarnation; 'advance'
--   or 'take_dead': see states.
-- include aside
local state, now = advance(ARGV[1], ARGV[2])
if not state then return absence() end
if state ~= 'current' then return state end
local sum = redis.call('HLEN', ASIDE)
for _, key in ipairs({FREE, DELAYED, CLAIMED, DEAD}) do sum = sum + redis.call('ZCARD', key) end
return {sum, string.format('%.6f', now)}
