-- control/delete: remove one record.
-- KEYS  1 records by member (hash)    2 members by name (zset)    3 members by something else (zset), or none
-- ARGV  member, member of the third key
-- Returns nothing.
local RECORDS, NAMES, OTHER_ORDER = unpack(KEYS)
redis.call('HDEL', RECORDS, ARGV[1])
redis.call('ZREM', NAMES, ARGV[1])
if OTHER_ORDER then
  redis.call('ZREM', OTHER_ORDER, ARGV[2])
end
