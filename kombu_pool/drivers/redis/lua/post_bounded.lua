-- post_bounded: post to a queue with a max length, or with expiry to its dead letters, or post unique messages. Without
--   messages: make room.
-- KEYS  see dead_letters
-- ARGV  see store_messages; or the time alone
-- Returns {ids (joined), 1 when the queue is still too long, 1 when dead letters are due, for each message that another
--   one displaces its place and the other one's key}; 'full' when the queue
--   rejects the overflow, with nothing stored; false when there is no queue that bears the incarnation, or it is sealed; 'advance': see
--   states.
-- include dead_letters
-- include duplicate_post
-- include unique
-- include sealed
local state, now = advance(ARGV[1], ARGV[2])
if state ~= 'current' then return state end
ARGV[3] = ARGV[3] or ''
local head = redis.call('HMGET', QUEUE, 'last', 'ttl', 'delay', 'next', 'bounded', 'has_dlq', ARGV[3], 'incarnation')
if is_sealed(head[8]) and ARGV[2] then return false end
if is_duplicate(head[7], ARGV[4]) then
  local ids, displaced = duplicate_ids(now, head, head[7], known)
  return {ids, 0, dead_due and dead_due <= now and 1 or 0, displaced}
end
local limits = {string.match(head[5] or '', '^([01]):([01]):(%d+):(%d+)$')}
local expires, rejects_overflow = limits[1] == '1', limits[2] == '1'
local max_length, max_bytes = tonumber(limits[3] or 0), tonumber(limits[4] or 0)
now_of_post = now
local found = prepare(now, head, displace)
local free = {}
for index = 2, #found.free, 2 do free[index / 2] = found.free[index] end

local function measured()
  return redis.call('ZCARD', FREE), counts_bytes and tonumber(redis.call('HGET', QUEUE, 'free_bytes')) or 0
end

local function fits(count, bytes)
  return count == 0 or ((max_length == 0 or count <= max_length) and (max_bytes == 0 or bytes <= max_bytes))
end

local function has_room()
  local count, bytes = measured()
  for _, id in ipairs(replaced) do
    if redis.call('ZSCORE', FREE, id) then
      count, bytes = count - 1, bytes - (counts_bytes and size_of({id}) or 0)
    end
  end
  local new = {}
  for _, id in ipairs(free) do new[id] = true end
  for index = 1, #found.records, 2 do
    if new[found.records[index]] then bytes = bytes + #found.records[index + 1] - FIXED_BYTES end
  end
  return #free == 0 or fits(count + #free, bytes)
end

-- make_room: remove the first free messages, up to a limit; whether the queue is still too long.
local function make_room(limit)
  local count, bytes = measured()
  local ids, STEP = {}, 50
  while not fits(count, bytes) and #ids < limit do
    for _, id in ipairs(redis.call('ZRANGE', FREE, #ids, #ids + STEP - 1)) do
      if fits(count, bytes) then break end
      ids[#ids + 1], count, bytes = id, count - 1, bytes - (counts_bytes and size_of({id}) or 0)
    end
  end
  if #ids > 0 and head[6] then mark_dead(ids, 'maxlen') elseif #ids > 0 then delete_messages(ids) end
  return not fits(count, bytes)
end

-- `free_bytes` begins with the size of all free messages; from then on every change updates it.
if max_bytes > 0 and not counts_bytes then
  local sum, first = 0, 0
  repeat
    local ids = redis.call('ZRANGE', FREE, first, first + CHUNK - 1)
    sum, first = sum + size_of(ids), first + #ids
  until #ids < CHUNK
  redis.call('HSET', QUEUE, 'free_bytes', sum)
  counts_bytes = true
end
if rejects_overflow and not has_room() then return 'full' end
local was_empty = not WAKEUP and redis.call('ZCARD', FREE) == 0
if #found.ids > 0 then
  apply_unique()
  -- An extended message may have lowered the deadline.
  local deadline = #extended > 0 and redis.call('HGET', QUEUE, 'next') or head[4]
  local is_next = store(found, deadline, head[7])
  count_bytes(free, 1)
  if expires and found.expiry then schedule_queue(found.expiry) end
  local is_news = (#free > 0 and (WAKEUP or was_empty)) or (is_next and #found.delayed > 0)
  if (is_news and not paused) or (is_next and expires) then wake(QUEUE, WAKEUP) end
end
local is_too_long = not rejects_overflow and make_room(#found.ids + DEAD_BUDGET)
return {table.concat(found.ids), is_too_long and 1 or 0, dead_due and dead_due <= now and 1 or 0, found.displaced}
