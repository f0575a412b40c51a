-- create: create a queue; or give one that bears the incarnation to replace another incarnation and other metadata, and
--   end the moves into it.
-- KEYS  QUEUE: see queue
-- ARGV  number before the first message's, incarnation ('=' for none), the one to replace ('' for none), then fields
--   and their values
-- Returns 1; or, without a change, the incarnation that the queue bears.
local QUEUE = KEYS[1]
-- include sealed
local present = redis.call('HGET', QUEUE, 'incarnation')
if not present then
  redis.call('HSET', QUEUE, 'last', ARGV[1], 'incarnation', ARGV[2], unpack(ARGV, 4))
elseif present == ARGV[3] and present ~= ARGV[2] then
  redis.call('HDEL', QUEUE, 'ttl', 'delay', 'max_claim_count', 'has_dlq', 'bounded', 'free_bytes', 'move_epoch', 'move_batch')
  redis.call('HSET', QUEUE, 'incarnation', ARGV[2], unpack(ARGV, 4))
else
  return present
end
send_posts_to_post_bounded(ARGV[2])
return 1
