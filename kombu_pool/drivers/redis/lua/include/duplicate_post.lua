-- duplicate_post: the ids of a post made before, derived from what is kept of it. That is written again, since a
-- producer that waits for replicas waits for the last write of its connection.
-- include store_messages
local function duplicate_ids(now, head, kept, known)
  local before = struct.unpack('>I8', '\0' .. string.sub(kept, 10, 16)) - 1
  local found = prepare(now, {before, head[2], head[3]}, known)
  redis.call('HSET', QUEUE, ARGV[3], string.sub(kept, 1, 16) .. found.created .. string.sub(kept, 25))
  return table.concat(found.ids), found.displaced
end

