-- include idempotency
-- store_messages: store messages in a queue. What includes this has as KEYS
--   1 queue (hash)  2 records (hash)  3 free (zset)  4 delayed (zset)  5 expiring (zset)
-- and as ARGV the second and the third one a ticket, as tickets has it, and from the fourth on, for each message what it
-- asks for ('' for nothing, else 'priority:ttl:delay') and its record.

-- sort_out: what becomes of the messages; `head` is the queue's last number, longest ttl and usual delay.
-- ids; for the keys pairs of arguments; when a deadline comes first, and when something expires first.
local function prepare(now, head)
  local number, created = tonumber(head[1]), struct.pack('>d', now)
  local longest, usual = tonumber(head[2] or 0), tonumber(head[3] or 0)
  local records, free, delayed, expiring, ids = {}, {}, {}, {}, {}
  local deadline, expiry

  for index = 4, #ARGV, 2 do
    local asked, record = ARGV[index], ARGV[index + 1]
    local priority, ttl, delay = 0, 0, usual
    if asked ~= '' then
      local first, second, third = string.match(asked, '^(%d+):([^:]*):(.*)$')
      priority, ttl = tonumber(first), tonumber(second)
      if third ~= '' then delay = tonumber(third) end
    end
    if longest > 0 and (ttl == 0 or ttl > longest) then
      ttl = longest
      record = struct.pack('>d', ttl) .. string.sub(record, 9)
    end
    number = number + 1
    local id = struct.pack('>BI7', 255 - priority, number)
    ids[#ids + 1] = id
    records[#records + 1], records[#records + 2] = id, created .. record
    if delay > 0 then
      delayed[#delayed + 1], delayed[#delayed + 2] = now + delay, id
      if not deadline or now + delay < deadline then deadline = now + delay end
    else
      free[#free + 1], free[#free + 2] = 0, id
    end
    if ttl > 0 then
      expiring[#expiring + 1], expiring[#expiring + 2] = now + ttl, id
      if not expiry or now + ttl < expiry then expiry = now + ttl end
    end
  end
  if expiry and (not deadline or expiry < deadline) then deadline = expiry end
  return {
    ids = ids, created = created, last = number, records = records, free = free, delayed = delayed, expiring = expiring,
    deadline = deadline, expiry = expiry,
  }
end

-- add: store what was sorted out, in a queue that knew of a deadline, and what it had of the poster; whether there is an
-- earlier deadline now.
local function store(found, known, kept)
  batched('HSET', RECORDS, found.records)
  if #found.free > 0 then batched('ZADD', FREE, found.free) end
  if #found.delayed > 0 then batched('ZADD', DELAYED, found.delayed) end
  if #found.expiring > 0 then batched('ZADD', EXPIRING, found.expiring) end
  local is_next = found.deadline and (not known or found.deadline < tonumber(known))
  local last = string.format('%.0f', found.last)
  if ARGV[2] == '' then
    redis.call('HSET', QUEUE, 'last', last)
  else
    redis.call('HSET', QUEUE, 'last', last, ARGV[2], ARGV[3] .. found.ids[1] .. found.created)
    -- A new poster is the time to look for old ones: so there are never many of them for each that is at work.
    if not kept then delete_old_producers(struct.unpack('>d', found.created), 5) end
  end
  if is_next then redis.call('HSET', QUEUE, 'next', string.format('%.6f', found.deadline)) end
  return is_next
end

