-- control/delete: delete one record.
-- KEYS  records by member (hash), members by name (zset)
-- ARGV  member
-- Returns nothing.
local RECORDS, NAMES = unpack(KEYS)
redis.call('HDEL', RECORDS, ARGV[1])
redis.call('ZREM', NAMES, ARGV[1])
