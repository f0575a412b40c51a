-- unique: what becomes of unique messages, and of those that hold their ids. Each post of one deletes some ids that are
-- free.
-- include change_message
-- include unique_holder

local holds, replaced, extended = {}, {}, {}

local function hold(name, seconds, scope, id, key)
  local till = seconds and now_of_post + seconds or 0
  holds[#holds + 1] = '~' .. name
  holds[#holds + 1] = struct.pack('>d', till) .. string.sub(seconds and 's' or scope, 1, 1) .. id .. key
end

-- displace: for `prepare`: the message that keeps another one from being stored, and its key; nil if none does.
local function displace(unique, id, record, delay)
  local scope, conflict, name = string.match(unique, '^([^:]*):([^:]*):(.*)$')
  local seconds = tonumber(scope)
  local present, key, waits, till = holder(name)
  -- The retry of a task is posted while the task is claimed.
  local own = key_of(record, 8) or ''
  local takes_over = present and not waits and own ~= '' and own == key
  if not present or takes_over or (waits and conflict == 'replace') then
    if present and not takes_over then replaced[#replaced + 1] = present end
    hold(name, seconds, scope, id, own)
    return
  end
  if conflict == 'extend' then
    if waits then extended[#extended + 1], extended[#extended + 2] = present, now_of_post + delay end
    if seconds and till > 0 then hold(name, math.max(till - now_of_post, seconds), scope, present, key) end
  end
  return present, key
end

-- known: for `prepare`, when a post is made again: what displaced the message then, as far as it can be told.
local function known(unique, id)
  local _, _, name = string.match(unique, '^([^:]*):([^:]*):(.*)$')
  local stored = redis.call('HGET', QUEUE, '~' .. name)
  local present = stored and string.sub(stored, 10, 17)
  if present and present ~= id then return present, string.sub(stored, 18) end
end

-- apply_unique: remove what the messages of a post replace, delay what they extend, and let them hold their ids.
local function apply_unique()
  if #replaced > 0 then delete_messages(replaced) end
  for index = 1, #extended, 2 do
    local before = tonumber(redis.call('ZSCORE', DELAYED, extended[index]) or now_of_post)
    if extended[index + 1] > before then change_message(extended[index], now_of_post, extended[index + 1]) end
  end
  if #holds == 0 then return end
  -- Before the new ones, whose messages are not stored yet.
  delete_old_producers(now_of_post, 5)
  batched('HSET', QUEUE, holds)
end

