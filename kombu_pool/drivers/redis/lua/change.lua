-- change: change the due time or the priority of the messages with a key that no claim holds.
-- KEYS  see dead_letters
-- ARGV  now, key, due time, priority; '' for no change
-- Returns {the changed, the claimed}, as `to_reply` of keyed does; false when there is no such queue; 'advance': see states.
-- include dead_letters
-- include keyed
-- include change_message
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local waiting, claimed = waiting_and_claimed(with_key(ARGV[2]))
local due, priority, changed = tonumber(ARGV[3]), tonumber(ARGV[4]), {}

for index, id in ipairs(waiting) do changed[index] = change_message(id, now, due, priority) end
if #changed > 0 and not paused then wake(QUEUE, WAKEUP) end
return {to_reply(changed, now), to_reply(claimed, now)}
