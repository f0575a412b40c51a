-- control/delete: remove one record.
-- KEYS  1 records by member (hash)    2 members by name (zset)    3 members by something else (zset), or none
-- ARGV  member, member of the third key
-- Returns nothing.
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if KEYS[3] then
  redis.call('ZREM', KEYS[3], ARGV[2])
end
