-- post: store messages at the end of the line, or aside until their delay is over.
-- include clock
-- include wakeup
-- include batches
-- include idempotency
-- include store_messages
-- include duplicate_post
-- KEYS  those of add, then  6 bell (list; none in a cluster)
-- ARGV  now, then those of add
-- Returns the messages' ids, joined; false when there is no such queue; 'bounded': post_strictly.
local head = redis.call('HMGET', KEYS[1], 'last', 'ttl', 'delay', 'next', 'bounded', ARGV[2])
if not head[1] then return false end
if head[5] then return 'bounded' end
local now = clock(ARGV[1])
if is_known(head[6], ARGV[3]) then return repeated(now, head, head[6]) end
local found = sort_out(now, head)
local was_empty = not KEYS[6] and redis.call('ZCARD', KEYS[3]) == 0
local is_next = add(found, head[4], head[6])
-- Who waits must know of an earlier deadline too.
if (#found.free > 0 and (KEYS[6] or was_empty)) or (is_next and #found.delayed > 0) then ring(KEYS[1], KEYS[6]) end
return table.concat(found.ids)
