-- control/delete: delete one record.
-- KEYS  records by member (hash), members by name (zset), members in another order (zset) or none
-- ARGV  member, member in the other order
-- Returns nothing.
local RECORDS, NAMES, OTHER_ORDER = unpack(KEYS)
redis.call('HDEL', RECORDS, ARGV[1])
redis.call('ZREM', NAMES, ARGV[1])
if OTHER_ORDER then
  redis.call('ZREM', OTHER_ORDER, ARGV[2])
end
