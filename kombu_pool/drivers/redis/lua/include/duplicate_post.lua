-- include store_messages
-- duplicate_post: the ids of a post that was made before, by what is kept of it; what includes this, behind add. It is noted
-- anew, for who waits for replicas waits for what was written.
local function duplicate_ids(now, head, kept)
  local before = struct.unpack('>I8', '\0' .. string.sub(kept, 10, 16)) - 1
  local found = prepare(now, {before, head[2], head[3]})
  redis.call('HSET', QUEUE, ARGV[2], string.sub(kept, 1, 16) .. found.created)
  return table.concat(found.ids)
end

