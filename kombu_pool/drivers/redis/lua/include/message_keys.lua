-- message_keys: the index of messages by their keys. The includer names MESSAGE_KEYS and BY_KEY, and has batches.
-- MESSAGE_KEYS has the key of a message; of a unique message a byte that begins no text, the length of the key, the key,
-- and the id that it holds.

-- key_of: the key in a record, or false; without its first `missing` bytes.
local function key_of(record, missing)
  local length = string.byte(record, 19 - missing) or 0
  return length > 0 and string.sub(record, 20 - missing, 19 - missing + length)
end

-- with_unique: what MESSAGE_KEYS has of a unique message.
local function with_unique(key, name)
  return '\255' .. string.char(#key) .. key .. name
end

-- split_key: the key in MESSAGE_KEYS, which may be '', and the id that the message holds, or nil.
local function split_key(value)
  if string.byte(value) ~= 255 then return value end
  local length = string.byte(value, 2)
  return string.sub(value, 3, 2 + length), string.sub(value, 3 + length)
end

-- members_of_keys: their members of BY_KEY, each after what is put before it.
local function members_of_keys(keyed, before)
  local members = {}
  for index = 1, #keyed, 2 do
    local key = split_key(keyed[index + 1])
    if key ~= '' then
      if before then members[#members + 1] = before end
      members[#members + 1] = key .. '\0' .. keyed[index]
    end
  end
  return members
end

-- add_keys: add messages, each before what MESSAGE_KEYS is to have of it, to the index.
local function add_keys(keyed)
  batched('HSET', MESSAGE_KEYS, keyed)
  batched('ZADD', BY_KEY, members_of_keys(keyed, 0))
end

-- delete_keys: remove messages from the index.
local function delete_keys(ids)
  local values, fields, keyed = lookup('HMGET', MESSAGE_KEYS, ids), {}, {}
  for index, id in ipairs(ids) do
    if values[index] then
      fields[#fields + 1], keyed[#keyed + 1], keyed[#keyed + 2] = id, id, values[index]
    end
  end
  if #fields == 0 then return end
  batched('HDEL', MESSAGE_KEYS, fields)
  batched('ZREM', BY_KEY, members_of_keys(keyed))
end

