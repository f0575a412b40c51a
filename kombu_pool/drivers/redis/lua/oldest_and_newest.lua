-- oldest_and_newest: the first and the last message of each priority among the free and the claimed ones.
-- KEYS  FREE and CLAIMED: see queue
-- Returns their ids.
local ids = {}
for _, key in ipairs(KEYS) do
  local from = '-'
  while from do
    local first = redis.call('ZRANGEBYLEX', key, from, '+', 'LIMIT', 0, 1)[1]
    if not first then break end
    local priority = string.byte(first)
    local beyond = priority < 255 and string.char(priority + 1)
    local last = redis.call('ZREVRANGEBYLEX', key, beyond and '(' .. beyond or '+', '-', 'LIMIT', 0, 1)[1]
    ids[#ids + 1], ids[#ids + 2] = string.sub(first, 1, 8), string.sub(last, 1, 8)
    from = beyond and '[' .. beyond
  end
end
return ids
