-- control/page: read some records by name.
-- KEYS  1 records by member (hash)    2 members by name (zset)
-- ARGV  the bounds of the members, limit: at most a few thousands
-- Returns the members and their records.
local members = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
if #members == 0 then
  return {{}, {}}
end
return {members, redis.call('HMGET', KEYS[1], unpack(members))}
