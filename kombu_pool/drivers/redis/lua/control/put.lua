-- control/put: write one record.
-- KEYS  records by member (hash), members by name (zset)
-- ARGV  member, record, "absent" or "present" if the record must be, or ""
-- Returns 1 when it was written.
local RECORDS, NAMES = unpack(KEYS)
local present = redis.call('HEXISTS', RECORDS, ARGV[1])
if (ARGV[3] == 'absent' and present == 1) or (ARGV[3] == 'present' and present == 0) then
  return 0
end
redis.call('HSET', RECORDS, ARGV[1], ARGV[2])
redis.call('ZADD', NAMES, 0, ARGV[1])
return 1
