-- subscriptions/list: the living subscriptions by id. Looks at all of the queue's: they are few.
-- include clock
-- include subscriptions
-- KEYS  those of subscriptions
-- ARGV  now, id after which to begin ('' for the first), limit (0 for none)
-- Returns what is shown of each.
local ids, page, limit = {}, {}, tonumber(ARGV[3])
for _, field in ipairs(redis.call('HKEYS', subscriptions)) do
  if string.sub(field, 1, 1) ~= '=' and field > ARGV[2] then ids[#ids + 1] = field end
end
table.sort(ids)
for _, id in ipairs(ids) do
  local record = living(id)
  if record then page[#page + 1] = shown(id, record) end
  if limit > 0 and #page == limit then break end
end
return page
