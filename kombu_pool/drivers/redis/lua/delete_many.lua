-- delete_many: delete messages in any state; or, given claims, only if these hold them all.
-- KEYS  see queue
-- ARGV  now, messages (joined), claims (joined; '-' for any state)
-- Returns 1; false when there is no such queue; 'advance' or 'take_dead': see states; or, with nothing deleted,
--   {message} that is not claimed, or {message, claim} for a claim that is not among them.
-- include queue
local state = advance(ARGV[1])
if state ~= 'current' then return state end
local there, ids = {}, split(ARGV[2])
for index, id in ipairs(ids) do
  if redis.call('HEXISTS', RECORDS, id) == 1 then there[#there + 1] = id end
end
if ARGV[3] ~= '-' then
  local given = {}
  for _, claim in ipairs(split(ARGV[3])) do given[claim] = true end
  for _, id in ipairs(there) do
    local by = claim_of(id)
    if not by then return {id} end
    if not given[by] then return {id, by} end
  end
end
if #there > 0 then delete_messages(there) end
return 1
