-- cancel: delete the messages with a key that no claim holds, but no dead letters.
-- KEYS  see queue
-- ARGV  now, key
-- Returns {the deleted, the claimed, the dead letters}, as `to_reply` of keyed does; false when there is no such queue;
--   'advance' or 'take_dead': see states.
-- include queue
-- include keyed
-- is_dead_letter: whether a record has the header of a dead letter.
local function is_dead_letter(record)
  if not record or #record < 19 then return false end
  local length, key = struct.unpack('>HB', record, 17)
  if length == 0 then return false end
  local is_read, head = pcall(cmsgpack.unpack, string.sub(record, 20 + key, 19 + key + length))
  return is_read and type(head) == 'table' and head[2] ~= nil
end

local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local waiting, claimed = waiting_and_claimed(with_key(ARGV[2]))
local others, dead = {}, {}
for _, id in ipairs(waiting) do
  local list = is_dead_letter(redis.call('HGET', RECORDS, id)) and dead or others
  list[#list + 1] = id
end
local reply = {to_reply(others, now), to_reply(claimed, now), to_reply(dead, now)}
if #others > 0 then delete_messages(others) end
return reply
