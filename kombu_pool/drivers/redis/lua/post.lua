-- post: store messages as free ones, or as delayed ones until their delay is over.
-- KEYS  QUEUE, RECORDS, FREE, DELAYED, EXPIRING, MESSAGE_KEYS, BY_KEY and WAKEUP: see queue
-- ARGV  see store_messages
-- Returns the messages' ids (joined); false when there is no queue that bears the incarnation; 'bounded': post_bounded
--   must do it.
local QUEUE, RECORDS, FREE, DELAYED, EXPIRING, MESSAGE_KEYS, BY_KEY, WAKEUP = unpack(KEYS)
-- include clock
-- include wakeup
-- include batches
-- include duplicate_post
local head = redis.call('HMGET', QUEUE, 'last', 'ttl', 'delay', 'next', 'bounded', ARGV[3], 'incarnation', 'paused')
if not head[1] or (ARGV[2] ~= '' and ARGV[2] ~= head[7]) then return false end
if head[5] then return 'bounded' end
local now = clock(ARGV[1])
if is_duplicate(head[6], ARGV[4]) then return (duplicate_ids(now, head, head[6])) end
local found = prepare(now, head)
local was_empty = not WAKEUP and redis.call('ZCARD', FREE) == 0
local is_next = store(found, head[4], head[6])
-- A watch must learn of an earlier deadline too.
local is_news = (#found.free > 0 and (WAKEUP or was_empty)) or (is_next and #found.delayed > 0)
if is_news and not head[8] then wake(QUEUE, WAKEUP) end
return table.concat(found.ids)
