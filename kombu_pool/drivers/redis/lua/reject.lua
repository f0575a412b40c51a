-- reject: make messages dead that claims hold; or delete them, if the queue has no dead-letter queue or exchange.
-- KEYS  see dead_letters
-- ARGV  now, the reason, then for each claim its id and the ids of the messages (joined, each once)
-- Returns {1 when dead letters are due, for each claim the ids that it does not hold (joined)}; false when there is no
--   such queue; 'advance': see states.
-- include dead_letters
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local has_dlq = redis.call('HEXISTS', QUEUE, 'has_dlq') == 1
local answers = {0}
for index = 3, #ARGV, 2 do
  local ids, held, refused = split(ARGV[index + 1]), {}, {}
  for _, id in ipairs(ids) do
    local list = redis.call('ZSCORE', CLAIMED, id .. ARGV[index]) and held or refused
    list[#list + 1] = id
  end
  if #held > 0 and has_dlq then mark_dead(held, ARGV[2]) elseif #held > 0 then delete_messages(held) end
  answers[#answers + 1] = table.concat(refused)
end
if dead_due and dead_due <= now then answers[1] = 1 end
return answers
