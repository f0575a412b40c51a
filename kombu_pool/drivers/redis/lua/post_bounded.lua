-- post_bounded: post to a queue that has a longest length, or that buries what expires. Without messages: make room.
-- include dead_letters
-- include duplicate_post
-- KEYS  those of dead
-- ARGV  now, then those of add, or none of them
-- Returns {the messages' ids (joined), 1 when it is still too long, 1 when something dead is to be buried}; 'full':
--   there is no room, and the queue says that nothing more is stored then; false when there is no such queue;
--   'advance': run it again.
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
ARGV[2] = ARGV[2] or ''
local head = redis.call('HMGET', QUEUE, 'last', 'ttl', 'delay', 'next', 'bounded', 'has_dlq', ARGV[2])
if is_duplicate(head[7], ARGV[3]) then return {duplicate_ids(now, head, head[7]), 0, dead_due and dead_due <= now and 1 or 0} end
local given = {string.match(head[5] or '', '^([01]):([01]):(%d+):(%d+)$')}
local expires_to_dlq, rejects_overflow = given[1] == '1', given[2] == '1'
local length, bytes = tonumber(given[3] or 0), tonumber(given[4] or 0)
local found = prepare(now, head)
local free = {}
for index = 2, #found.free, 2 do free[index / 2] = found.free[index] end

-- weigh_all: note what the free messages weigh, once; from then on whoever changes something adds and subtracts.
local function count_all_bytes()
  local sum, first = 0, 0
  repeat
    local ids = redis.call('ZRANGE', FREE, first, first + CHUNK - 1)
    sum, first = sum + size_of(ids), first + #ids
  until #ids < CHUNK
  redis.call('HSET', QUEUE, 'free_bytes', sum)
  counts_bytes = true
end

local function measured()
  return redis.call('ZCARD', FREE), counts_bytes and tonumber(redis.call('HGET', QUEUE, 'free_bytes')) or 0
end

local function fits(count, weight)
  return count == 0 or ((length == 0 or count <= length) and (bytes == 0 or weight <= bytes))
end

local function has_room()
  local count, weight = measured()
  local new = {}
  for _, id in ipairs(free) do new[id] = true end
  for index = 1, #found.records, 2 do
    if new[found.records[index]] then weight = weight + #found.records[index + 1] - FIXED_BYTES end
  end
  return #free == 0 or fits(count + #free, weight)
end

-- make_room: let the first in line go, up to so many; whether that was not enough.
local function make_room(most)
  local count, weight = measured()
  local ids, STEP = {}, 50
  while not fits(count, weight) and #ids < most do
    for _, id in ipairs(redis.call('ZRANGE', FREE, #ids, #ids + STEP - 1)) do
      if fits(count, weight) then break end
      ids[#ids + 1], count, weight = id, count - 1, weight - (counts_bytes and size_of({id}) or 0)
    end
  end
  if #ids > 0 and head[6] then mark_dead(ids, 'maxlen') elseif #ids > 0 then delete_messages(ids) end
  return not fits(count, weight)
end

if bytes > 0 and not counts_bytes then count_all_bytes() end
if rejects_overflow and not has_room() then return 'full' end
local was_empty = not WAKEUP and redis.call('ZCARD', FREE) == 0
if #found.ids > 0 then
  local is_next = store(found, head[4], head[7])
  count_bytes(free, 1)
  if expires_to_dlq and found.expiry then note_dead_due(found.expiry) end
  if (#free > 0 and (WAKEUP or was_empty)) or (is_next and (#found.delayed > 0 or expires_to_dlq)) then
    wake(QUEUE, WAKEUP)
  end
end
local is_too_long = not rejects_overflow and make_room(#found.ids + DEAD_BUDGET)
return {table.concat(found.ids), is_too_long and 1 or 0, dead_due and dead_due <= now and 1 or 0}
