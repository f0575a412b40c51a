-- unique_holder: the ids that unique messages hold. The queue's hash has a field for each, '~' and the id: the end of the
-- message's hold (a double; 0: it ends with the message), its scope ('w', 'u' or 's': waiting, unfinished, seconds), the
-- message, and its key. An id is free again without a change of its field.
local now_of_post = 0

-- holder: the message that holds an id, its key, and whether it waits; nil if none does.
local function holder(name)
  local stored = redis.call('HGET', QUEUE, '~' .. name)
  if not stored then return end
  local till, scope, id = struct.unpack('>d', stored), string.sub(stored, 9, 9), string.sub(stored, 10, 17)
  local exists = redis.call('HEXISTS', RECORDS, id) == 1
  local waits = exists and not claim_of(id)
  local holds_it = exists
  if scope == 's' then holds_it = till > now_of_post elseif scope == 'w' then holds_it = waits end
  if holds_it then return id, string.sub(stored, 18), waits, till end
end

