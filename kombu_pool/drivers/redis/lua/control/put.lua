-- control/put: write one record.
-- KEYS  1 records by member (hash)    2 members by name (zset)    3 members by something else (zset), or none
-- ARGV  member, record, "absent" or "present" for what must be there before or "", member of the third key
-- Returns 1 when it was written.
local present = redis.call('HEXISTS', KEYS[1], ARGV[1])
if (ARGV[3] == 'absent' and present == 1) or (ARGV[3] == 'present' and present == 0) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
if KEYS[3] then
  redis.call('ZADD', KEYS[3], 0, ARGV[4])
end
return 1
