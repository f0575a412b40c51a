-- drop_queue: delete a queue with its content. Redis frees the memory in the background.
-- KEYS  all of the queue, then the index of all queues and QUEUES_WITH_DEAD; a Redis Cluster has neither
-- ARGV  incarnation that the queue must bear ('' for any), its entry in the index
-- Returns 1; 0 when it bears another incarnation.
local QUEUE, INDEX, QUEUES_WITH_DEAD = KEYS[1], KEYS[14], KEYS[15]
local present = ARGV[1] ~= '' and redis.call('HGET', QUEUE, 'incarnation')
if present and present ~= ARGV[1] then return 0 end
if INDEX then
  redis.call('ZREM', INDEX, ARGV[2])
  redis.call('ZREM', QUEUES_WITH_DEAD, QUEUE)
end
redis.call('UNLINK', unpack(KEYS, 1, 13))
return 1
