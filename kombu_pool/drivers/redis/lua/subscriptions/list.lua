-- subscriptions/list: read the unexpired subscriptions by id. Reads all of the queue's, which are few.
-- KEYS  see subscriptions
-- ARGV  now, id after which to begin ('' for the first), limit (0 for none)
-- Returns the view of each.
-- include subscriptions
local ids, page, limit = {}, {}, tonumber(ARGV[3])
for _, field in ipairs(redis.call('HKEYS', SUBSCRIPTIONS)) do
  if string.sub(field, 1, 1) ~= '=' and field > ARGV[2] then ids[#ids + 1] = field end
end
table.sort(ids)
for _, id in ipairs(ids) do
  local record = find(id)
  if record then page[#page + 1] = view(id, record) end
  if limit > 0 and #page == limit then break end
end
return page
