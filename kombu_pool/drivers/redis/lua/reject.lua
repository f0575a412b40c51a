-- reject: let messages be dead that claims hold; or delete them, where nothing takes dead letters.
-- include clock
-- include wakeup
-- include batches
-- include states
-- include dead_letters
-- KEYS  those of dead
-- ARGV  now, then for each claim its id and the ids of the messages (joined, each once)
-- Returns {1 when something dead is to be buried, for each claim the ids of those that it does not hold (joined)};
--   false when there is no such queue; 'advance': run it again.
local state, now = open(ARGV[1])
if state ~= 'current' then return state end
local buries = redis.call('HEXISTS', KEYS[1], 'has_dlq') == 1
local answers = {0}
for index = 2, #ARGV, 2 do
  local ids, mine, refused = split(ARGV[index + 1]), {}, {}
  for _, id in ipairs(ids) do
    local list = redis.call('ZSCORE', KEYS[6], id .. ARGV[index]) and mine or refused
    list[#list + 1] = id
  end
  if #mine > 0 and buries then die(mine, 'rejected') elseif #mine > 0 then remove(mine) end
  answers[#answers + 1] = table.concat(refused)
end
if due and due <= now then answers[1] = 1 end
return answers
