-- moves/store: store a batch of messages from another store, before all that were and will be posted.
-- KEYS  see dead_letters
-- ARGV  now, incarnation that the queue must bear, epoch, number before that of the first message that ever moved here,
--   the batch: the messages' ids in the other store (MessagePack), then for each message 'priority:expiry:due:count:',
--   its scope as in unique_holder and the unique id that it holds, and its record
-- Returns 1; false when there is no queue that bears the incarnation; 'superseded' when it has another epoch.
-- include dead_letters
-- include unique_holder
local head = redis.call('HMGET', QUEUE, 'incarnation', 'move_epoch', 'move_batch', 'moved', 'free_bytes', 'paused')
if head[1] ~= ARGV[2] then return false end
if tonumber(head[2] or 0) ~= tonumber(ARGV[3]) then return 'superseded' end
local now, number = clock(ARGV[1]), tonumber(head[4] or ARGV[4])
now_of_post, counts_bytes, paused = now, head[5], head[6]
local known, records, free, free_ids, delayed, expiring = {}, {}, {}, {}, {}, {}
local counts, keyed, holds, deadline, expiry = {}, {}, {}, nil, nil
for _, id in ipairs(head[3] and cmsgpack.unpack(head[3]) or {}) do known[id] = true end

-- place: make a message free or delayed, and set its expiry.
local function place(id, expires, due)
  if due and due > now then
    delayed[#delayed + 1], delayed[#delayed + 2] = string.format('%.6f', due), id
    deadline = math.min(deadline or due, due)
  else
    free[#free + 1], free[#free + 2], free_ids[#free_ids + 1] = 0, id, id
  end
  if expires then
    expiring[#expiring + 1], expiring[#expiring + 2] = string.format('%.6f', expires), id
    deadline, expiry = math.min(deadline or expires, expires), math.min(expiry or expires, expires)
  end
end

-- name: let a message have its key, and hold its unique id unless another message holds that.
local function name(id, record, scope, unique)
  local key = key_of(record, 0)
  local value = key
  if scope ~= '' and not holds[unique] and not holder(unique) then
    value = with_unique(key or '', unique)
    holds[unique] = struct.pack('>d', 0) .. scope .. id .. (key or '')
  end
  if value then keyed[#keyed + 1], keyed[#keyed + 2] = id, value end
end

for index, source in ipairs(cmsgpack.unpack(ARGV[5])) do
  if not known[source] then
    local options, record = ARGV[4 + 2 * index], ARGV[5 + 2 * index]
    local priority, expires, due, count, scope, unique = string.match(options, '^(%d+):([^:]*):([^:]*):(%d+):(.?)(.*)$')
    number = number + 1
    local id = struct.pack('>BI7', 255 - tonumber(priority), number)
    records[#records + 1], records[#records + 2] = id, record
    if count ~= '0' then counts[#counts + 1], counts[#counts + 2] = id, count .. ':' end
    place(id, tonumber(expires), tonumber(due))
    name(id, record, scope, unique)
  end
end

-- Refused when Redis is out of memory, with nothing stored.
redis.call('HSET', QUEUE, 'moved', string.format('%.0f', number), 'move_batch', ARGV[5])
if #records == 0 then return 1 end
batched('HSET', RECORDS, records)
if #free > 0 then batched('ZADD', FREE, free) end
if #delayed > 0 then batched('ZADD', DELAYED, delayed) end
if #expiring > 0 then batched('ZADD', EXPIRING, expiring) end
if #counts > 0 then batched('HSET', CLAIM_COUNTS, counts) end
if #keyed > 0 then add_keys(keyed) end
for unique, value in pairs(holds) do redis.call('HSET', QUEUE, '~' .. unique, value) end
count_bytes(free_ids, 1)
local is_next = deadline and lower_deadline(redis.call('HGET', QUEUE, 'next'), deadline)
if expiry and expires_to_dlq() then schedule_queue(expiry) end
if not paused and (#free > 0 or is_next) then wake(QUEUE, WAKEUP) end
return 1
