-- moves/remove: remove messages that are put aside.
-- KEYS  QUEUE, ASIDE: see aside
-- ARGV  incarnation that the queue must bear, messages (joined)
-- Returns 1, or 0 when there is no queue that bears the incarnation.
local QUEUE, ASIDE = unpack(KEYS)
-- include batches
-- include aside_holds
if redis.call('HGET', QUEUE, 'incarnation') ~= ARGV[1] then return 0 end
local ids = split(ARGV[2])
if #ids == 0 then return 1 end
local fields = {unpack(ids)}
for index, stored in ipairs(lookup('HMGET', ASIDE, ids)) do
  local length, rest = string.match(stored or '', '^%d+:%d+:[^:]*:[^:]*:[wu]:(%d+):(.*)$')
  if length then fields[#fields + 1] = HOLD .. string.sub(rest, 1, tonumber(length)) end
end
batched('HDEL', ASIDE, fields)
return 1
