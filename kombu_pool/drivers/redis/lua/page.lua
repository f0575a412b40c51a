-- page: read messages in order, after a given one.
-- KEYS  see queue
-- ARGV  now, message after which to begin ('' for the first), limit (0 for all), client whose messages are left out (''
--   for none), '1' to include claimed ones, '1' to include delayed ones
-- Returns {ids (joined), records, claim counts, claims that hold them, now}: of each state up to the limit, in order,
--   one state after the other; false when there is no such queue; 'advance' or 'take_dead': see states.
-- include queue
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local after, limit, hidden = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local STEP = limit > 0 and math.max(limit, 50) or CHUNK
local shown, records, holders = {}, {}, {}

local function is_hidden(record)
  if hidden == '' then return false end
  local length = struct.unpack('>H', record, 17)
  local first = 20 + (string.byte(record, 19) or 0)
  return length > 0 and cmsgpack.unpack(string.sub(record, first, first + length - 1))[1] == hidden
end

-- add: add those that are not hidden, up to the limit; `count` is how many of this state were added before.
local function add(ids, claims, count)
  if #ids == 0 then return count end
  local found = lookup('HMGET', RECORDS, ids)
  for index, id in ipairs(ids) do
    if limit > 0 and count >= limit then break end
    if found[index] and not is_hidden(found[index]) then
      count = count + 1
      shown[#shown + 1], records[#records + 1], holders[#holders + 1] = id, found[index], claims[index] or false
    end
  end
  return count
end

-- add_from: add the members of a zset in order, STEP at a time.
local function add_from(key, from)
  local count = 0
  repeat
    local members = redis.call('ZRANGEBYLEX', key, from, '+', 'LIMIT', 0, STEP)
    local ids, claims = {}, {}
    for index, member in ipairs(members) do
      ids[index], claims[index] = string.sub(member, 1, 8), #member > 8 and string.sub(member, 9)
    end
    count = add(ids, claims, count)
    from = #members > 0 and '(' .. members[#members]
  until #members < STEP or (limit > 0 and count >= limit)
end

-- precedes: the order of ids by value; Lua's own string order depends on the server's locale.
local function precedes(one, other)
  local priority, number = struct.unpack('>BI7', one)
  local second, than = struct.unpack('>BI7', other)
  if priority ~= second then return priority < second end
  return number < than
end

add_from(FREE, after == '' and '-' or '(' .. after)
if ARGV[5] == '1' then add_from(CLAIMED, after == '' and '-' or '(' .. after .. string.rep('\255', 9)) end
if ARGV[6] == '1' then
  local ids = {}
  for _, id in ipairs(redis.call('ZRANGE', DELAYED, 0, -1)) do
    if after == '' or precedes(after, id) then ids[#ids + 1] = id end
  end
  table.sort(ids, precedes)
  add(ids, {}, 0)
end
local claim_counts = #shown > 0 and lookup('HMGET', CLAIM_COUNTS, shown) or {}
return {table.concat(shown), records, claim_counts, holders, string.format('%.6f', now)}
