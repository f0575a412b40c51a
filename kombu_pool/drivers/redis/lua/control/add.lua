-- control/add: add one record, unless it exists.
-- KEYS  records by member (hash), members by name (zset)
-- ARGV  member, record
-- Returns 1, or 0 when it existed.
local RECORDS, NAMES = unpack(KEYS)
if redis.call('HSETNX', RECORDS, ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('ZADD', NAMES, 0, ARGV[1])
return 1
