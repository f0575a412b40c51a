-- hold_claim: let a claim hold messages, besides those that it holds already.
-- KEYS  those of settle
local function hold(holder, now, seconds, taken)
  local members, ends = {}, now + seconds
  for index, id in ipairs(taken) do members[2 * index - 1], members[2 * index] = 0, id .. holder end
  batched('ZADD', KEYS[6], members)
  local lease = redis.call('HGET', KEYS[8], holder)
  local before = lease and string.sub(lease, 17) or ''
  redis.call('ZADD', KEYS[7], string.format('%.6f', ends), holder)
  redis.call('HSET', KEYS[8], holder, struct.pack('>dd', now, seconds) .. before .. table.concat(taken))
  redis.call('HINCRBY', KEYS[8], holder .. '#', #taken)
  note_deadline(redis.call('HGET', KEYS[1], 'next'), ends)
end

