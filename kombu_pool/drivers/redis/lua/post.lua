-- post: store messages at the end of the line, or aside until their delay is over.
-- include clock
-- include bell
-- include batches
-- KEYS  1 queue (hash)  2 records (hash)  3 free (zset)  4 delayed (zset)  5 expiring (zset)
--       6 bell (list; none in a cluster)
-- ARGV  now, then for each message what it asks for ('' for nothing, else 'priority:ttl:delay') and its record
-- Returns the messages' ids, joined; false when there is no such queue.
local head = redis.call('HMGET', KEYS[1], 'last', 'ttl', 'delay', 'next')
if not head[1] then return false end
local now = clock(ARGV[1])
local number, created = tonumber(head[1]), struct.pack('>d', now)
local longest, usual = tonumber(head[2] or 0), tonumber(head[3] or 0)
local records, free, delayed, expiring, ids = {}, {}, {}, {}, {}
local deadline

local function earlier(at)
  if not deadline or at < deadline then deadline = at end
end

for index = 2, #ARGV, 2 do
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
    earlier(now + delay)
  else
    free[#free + 1], free[#free + 2] = 0, id
  end
  if ttl > 0 then
    expiring[#expiring + 1], expiring[#expiring + 2] = now + ttl, id
    earlier(now + ttl)
  end
end

local was_empty = not KEYS[6] and redis.call('ZCARD', KEYS[3]) == 0
batched('HSET', KEYS[2], records)
if #free > 0 then batched('ZADD', KEYS[3], free) end
if #delayed > 0 then batched('ZADD', KEYS[4], delayed) end
if #expiring > 0 then batched('ZADD', KEYS[5], expiring) end
local is_next = deadline and (not head[4] or deadline < tonumber(head[4]))
if is_next then
  redis.call('HSET', KEYS[1], 'last', string.format('%.0f', number), 'next', string.format('%.6f', deadline))
else
  redis.call('HSET', KEYS[1], 'last', string.format('%.0f', number))
end
-- Who waits must know of an earlier deadline too.
if (#free > 0 and (KEYS[6] or was_empty)) or (is_next and #delayed > 0) then ring(KEYS[1], KEYS[6]) end
return table.concat(ids)
