-- counts: count the messages in each state, and tell when the oldest free ones were posted.
-- KEYS  see queue
-- ARGV  now
-- Returns {free, delayed, claimed, now, times of the post of the first message of each priority (doubles, joined),
-- 1 if it is paused}; false when there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local posted, from = {}, '-'
while from do
  local first = redis.call('ZRANGEBYLEX', FREE, from, '+', 'LIMIT', 0, 1)[1]
  if not first then break end
  posted[#posted + 1] = string.sub(redis.call('HGET', RECORDS, first) or '', 1, 8)
  local priority = string.byte(first)
  from = priority < 255 and '[' .. string.char(priority + 1)
end
local free, delayed, claimed = redis.call('ZCARD', FREE), redis.call('ZCARD', DELAYED), redis.call('ZCARD', CLAIMED)
return {free, delayed, claimed, string.format('%.6f', now), table.concat(posted), paused and 1 or 0}
