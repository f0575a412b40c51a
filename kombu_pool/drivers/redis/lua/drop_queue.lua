-- drop_queue: delete a queue with its content, and wake its watches. Redis frees the memory in the background.
-- KEYS  all of the queue, DELETIONS last, then the index of all queues and QUEUES_WITH_DEAD; a Redis Cluster has neither
-- ARGV  incarnation that the queue must bear ('' for any), its entry in the index, a token of the deletion
-- Returns 1; 0 when it bears another incarnation.
local QUEUE, DELETIONS, INDEX, QUEUES_WITH_DEAD = KEYS[1], KEYS[17], KEYS[18], KEYS[19]
local present, watched = unpack(redis.call('HMGET', QUEUE, 'incarnation', 'watched'))
if present and ARGV[1] ~= '' and present ~= ARGV[1] then return 0 end
if INDEX then
  redis.call('ZREM', INDEX, ARGV[2])
  redis.call('ZREM', QUEUES_WITH_DEAD, QUEUE)
end
redis.call('UNLINK', unpack(KEYS, 1, 16))
if not INDEX then
  redis.call('PUBLISH', QUEUE, 'deleted')
elseif watched then
  redis.pcall('LPUSH', DELETIONS, ARGV[3])
  redis.pcall('PEXPIRE', DELETIONS, 1000)  -- there may be no watch any more
end
return 1
