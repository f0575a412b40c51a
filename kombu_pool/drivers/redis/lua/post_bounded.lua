-- post_bounded: post to a queue that has a longest length, or that buries what expires. Without messages: make room.
-- include clock
-- include wakeup
-- include batches
-- include states
-- include dead_letters
-- include idempotency
-- include store_messages
-- include duplicate_post
-- KEYS  those of dead
-- ARGV  now, then those of add, or none of them
-- Returns {the messages' ids (joined), 1 when it is still too long, 1 when something dead is to be buried}; 'full':
--   there is no room, and the queue says that nothing more is stored then; false when there is no such queue;
--   'advance': run it again.
local state, now = open(ARGV[1])
if state ~= 'current' then return state end
ARGV[2] = ARGV[2] or ''
local head = redis.call('HMGET', KEYS[1], 'last', 'ttl', 'delay', 'next', 'bounded', 'has_dlq', ARGV[2])
if is_known(head[7], ARGV[3]) then return {repeated(now, head, head[7]), 0, due and due <= now and 1 or 0} end
local said = {string.match(head[5] or '', '^([01]):([01]):(%d+):(%d+)$')}
local buries_expired, refuses = said[1] == '1', said[2] == '1'
local length, bytes = tonumber(said[3] or 0), tonumber(said[4] or 0)
local found = sort_out(now, head)
local free = {}
for index = 2, #found.free, 2 do free[index / 2] = found.free[index] end

-- weigh_all: note what the free messages weigh, once; from then on whoever changes something adds and subtracts.
local function weigh_all()
  local sum, first = 0, 0
  repeat
    local ids = redis.call('ZRANGE', KEYS[3], first, first + CHUNK - 1)
    sum, first = sum + weighed(ids), first + #ids
  until #ids < CHUNK
  redis.call('HSET', KEYS[1], 'free_bytes', sum)
  is_weighed = true
end

local function measured()
  return redis.call('ZCARD', KEYS[3]), is_weighed and tonumber(redis.call('HGET', KEYS[1], 'free_bytes')) or 0
end

local function fits(count, weight)
  return count == 0 or ((length == 0 or count <= length) and (bytes == 0 or weight <= bytes))
end

local function has_room()
  local count, weight = measured()
  local new = {}
  for _, id in ipairs(free) do new[id] = true end
  for index = 1, #found.records, 2 do
    if new[found.records[index]] then weight = weight + #found.records[index + 1] - FRONT end
  end
  return #free == 0 or fits(count + #free, weight)
end

-- make_room: let the first in line go, up to so many; whether that was not enough.
local function make_room(most)
  local count, weight = measured()
  local ids, STEP = {}, 50
  while not fits(count, weight) and #ids < most do
    for _, id in ipairs(redis.call('ZRANGE', KEYS[3], #ids, #ids + STEP - 1)) do
      if fits(count, weight) then break end
      ids[#ids + 1], count, weight = id, count - 1, weight - (is_weighed and weighed({id}) or 0)
    end
  end
  if #ids > 0 and head[6] then die(ids, 'maxlen') elseif #ids > 0 then remove(ids) end
  return not fits(count, weight)
end

if bytes > 0 and not is_weighed then weigh_all() end
if refuses and not has_room() then return 'full' end
local was_empty = not KEYS[10] and redis.call('ZCARD', KEYS[3]) == 0
if #found.ids > 0 then
  local is_next = add(found, head[4], head[7])
  weigh(free, 1)
  if buries_expired and found.expiry then look_there(found.expiry) end
  if (#free > 0 and (KEYS[10] or was_empty)) or (is_next and (#found.delayed > 0 or buries_expired)) then
    ring(KEYS[1], KEYS[10])
  end
end
local is_too_long = not refuses and make_room(#found.ids + BUDGET_OF_DEAD)
return {table.concat(found.ids), is_too_long and 1 or 0, due and due <= now and 1 or 0}
