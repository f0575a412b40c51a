-- release: free messages of a claim at their old place in the order.
-- KEYS  see queue
-- ARGV  now, claim, ids (joined; '' for all that it holds), increment of their claim counts (0: as if never claimed)
-- Returns how many; false when there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
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
if not paused then wake(QUEUE, WAKEUP) end
return #members
