-- moves/set_epoch: let only the process of one epoch store batches in a queue.
-- KEYS  QUEUE: see queue
-- ARGV  incarnation that the queue must bear, epoch
-- Returns the last batch; '' without one; false when there is no queue that bears the incarnation; 'superseded' when it
--   has a greater epoch.
local QUEUE = KEYS[1]
local present, epoch, batch = unpack(redis.call('HMGET', QUEUE, 'incarnation', 'move_epoch', 'move_batch'))
if present ~= ARGV[1] then return false end
if epoch and tonumber(epoch) > tonumber(ARGV[2]) then return 'superseded' end
-- Changes nothing, but counts as a removal: see OUT OF MEMORY in states.
redis.call('HDEL', QUEUE, '')
redis.call('HSET', QUEUE, 'move_epoch', ARGV[2])
return batch or ''
