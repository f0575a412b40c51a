-- store_messages: store messages in a queue. The includer names QUEUE, RECORDS, FREE, DELAYED, EXPIRING,
--   MESSAGE_KEYS and BY_KEY.
-- ARGV  now, incarnation that the queue must bear ('' for any), idempotency key (two arguments), then for each message
--   its options ('' for none, else 'priority:ttl:delay', and of a unique message a newline and 'scope:conflict:id') and
--   its record
-- include idempotency
-- include message_keys

-- prepare: the arguments that store the messages; `head` is the queue's last number, longest ttl and default delay.
-- `displace` returns for a unique message the id of the one that displaces it, and its key.
-- Returns ids, the score or field pairs of each key, the first deadline, the first expiry, and the places and keys of the
-- messages that are displaced.
local function prepare(now, head, displace)
  local number, created = tonumber(head[1]), struct.pack('>d', now)
  local longest, default = tonumber(head[2] or 0), tonumber(head[3] or 0)
  local records, free, delayed, expiring, ids, keyed = {}, {}, {}, {}, {}, {}
  local deadline, expiry, first
  local displaced = {}

  for index = 5, #ARGV, 2 do
    local options, record = ARGV[index], ARGV[index + 1]
    local priority, ttl, delay, unique = 0, 0, default, nil
    if options ~= '' then
      local one, two, three, four = string.match(options, '^(%d+):([^:]*):([^\n]*)\n?(.*)$')
      priority, ttl = tonumber(one), tonumber(two)
      if three ~= '' then delay = tonumber(three) end
      unique = four ~= '' and four
    end
    if longest > 0 and (ttl == 0 or ttl > longest + delay) then
      ttl = longest + delay
      record = struct.pack('>d', ttl) .. string.sub(record, 9)
    end
    number = number + 1
    local id = struct.pack('>BI7', 255 - priority, number)
    first = first or id
    local present, key
    if unique and displace then present, key = displace(unique, id, record, delay) end
    ids[#ids + 1] = present or id
    if present then
      displaced[#displaced + 1], displaced[#displaced + 2] = #ids, key
    else
      records[#records + 1], records[#records + 2] = id, created .. record
      local value = key_of(record, 8)
      if unique then value = with_unique(value or '', string.match(unique, '^[^:]*:[^:]*:(.*)$')) end
      if value then keyed[#keyed + 1], keyed[#keyed + 2] = id, value end
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
  end
  if expiry and (not deadline or expiry < deadline) then deadline = expiry end
  return {
    ids = ids, created = created, last = number, records = records, free = free, delayed = delayed, expiring = expiring,
    first = first, displaced = displaced, keyed = keyed, deadline = deadline, expiry = expiry,
  }
end

-- store: store prepared messages in a queue, given its known deadline and the producer's kept post; whether the
-- deadline is earlier now.
local function store(found, known, kept)
  batched('HSET', RECORDS, found.records)
  if #found.free > 0 then batched('ZADD', FREE, found.free) end
  if #found.delayed > 0 then batched('ZADD', DELAYED, found.delayed) end
  if #found.expiring > 0 then batched('ZADD', EXPIRING, found.expiring) end
  if #found.keyed > 0 then add_keys(found.keyed) end
  local is_next = found.deadline and (not known or found.deadline < tonumber(known))
  local last = string.format('%.0f', found.last)
  if ARGV[3] == '' then
    redis.call('HSET', QUEUE, 'last', last)
  else
    local post = ARGV[4] .. found.first .. found.created
    if #found.ids > 1 or #found.displaced > 0 then
      -- Defined inside, as most posts have one message: a closure costs time.
      local function are_uniform()
        for _, id in ipairs(found.ids) do
          if string.byte(id) ~= string.byte(found.first) then return false end
        end
        return #found.displaced == 0
      end

      -- each: the messages, and the keys of those that displaced others.
      local function each()
        local parts, keys = {}, {}
        for index = 1, #found.displaced, 2 do keys[found.displaced[index]] = found.displaced[index + 1] end
        for index, id in ipairs(found.ids) do
          parts[index] = id .. struct.pack('>I2', keys[index] and #keys[index] + 1 or 0) .. (keys[index] or '')
        end
        return table.concat(parts)
      end

      post = post .. (are_uniform() and struct.pack('>I4', #found.ids) or each())
    end
    redis.call('HSET', QUEUE, 'last', last, ARGV[3], post)
    -- Each new producer deletes some old ones, so that the hash stays in proportion to the active producers.
    if not kept then delete_old_producers(struct.unpack('>d', found.created), 5) end
  end
  if is_next then redis.call('HSET', QUEUE, 'next', string.format('%.6f', found.deadline)) end
  return is_next
end

