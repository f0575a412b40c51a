-- control/page: read some records by name.
-- KEYS  records by member (hash), members by name (zset)
-- ARGV  the bounds of the members, limit: at most a few thousands
-- Returns the members and their records.
local RECORDS, NAMES = unpack(KEYS)
local members = redis.call('ZRANGEBYLEX', NAMES, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
if #members == 0 then
  return {{}, {}}
end
return {members, redis.call('HMGET', RECORDS, unpack(members))}
