-- release: free messages of a claim, where they stood.
-- include queue
-- KEYS  those of settle
-- ARGV  now, claim, ids (joined; '' for all that it holds), what the lending counts for (0 when it was none)
-- Returns how many; false when there is no such queue; 'advance' or 'take_dead': run it again.
local state = advance(ARGV[1])
if state ~= 'current' then return state end
local claim = ARGV[2]
local members = members_of(claim)
if ARGV[3] ~= '' then
  local wanted, chosen = {}, {}
  for _, id in ipairs(split(ARGV[3])) do wanted[id .. claim] = true end
  for _, member in ipairs(members) do
    if wanted[member] then chosen[#chosen + 1] = member end
  end
  members = chosen
end
if #members == 0 then return 0 end
release(members, '', tonumber(ARGV[4]))
if redis.call('HINCRBY', CLAIMS, claim .. '#', -#members) <= 0 then delete_claim(claim) end
wake(QUEUE, WAKEUP)
return #members
