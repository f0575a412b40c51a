-- message_keys: the index of messages by their keys. The includer names MESSAGE_KEYS and BY_KEY, and has batches.

-- key_of: the key in a record, or false; without its first `missing` bytes.
local function key_of(record, missing)
  local length = string.byte(record, 19 - missing) or 0
  return length > 0 and string.sub(record, 20 - missing, 19 - missing + length)
end

-- add_keys: add messages and their keys, one after the other, to the index.
local function add_keys(keyed)
  local members = {}
  for index = 1, #keyed, 2 do
    members[index], members[index + 1] = 0, keyed[index + 1] .. '\0' .. keyed[index]
  end
  batched('HSET', MESSAGE_KEYS, keyed)
  batched('ZADD', BY_KEY, members)
end

-- delete_keys: remove messages from the index.
local function delete_keys(ids)
  local keys, fields, members = lookup('HMGET', MESSAGE_KEYS, ids), {}, {}
  for index, id in ipairs(ids) do
    if keys[index] then fields[#fields + 1], members[#members + 1] = id, keys[index] .. '\0' .. id end
  end
  if #fields == 0 then return end
  batched('HDEL', MESSAGE_KEYS, fields)
  batched('ZREM', BY_KEY, members)
end

