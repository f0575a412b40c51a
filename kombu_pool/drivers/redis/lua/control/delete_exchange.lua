-- control/delete_exchange: remove one exchange, with the bindings from it and to it.
-- KEYS  see bindings
-- ARGV  member, the bounds of the bindings from it, the bounds of the bindings to it
-- Returns nothing.
-- include bindings
redis.call('HDEL', EXCHANGES, ARGV[1])
redis.call('ZREM', EXCHANGE_NAMES, ARGV[1])
for _, entry in ipairs(redis.call('ZRANGEBYLEX', BY_EXCHANGE, ARGV[2], ARGV[3])) do
  local exchange, rest = string.match(entry, '^(%Z*%z%Z*)%z%Z*%z(.*)$')
  remove_binding(exchange .. '\0' .. rest)
end
for _, source in ipairs(remove_bindings_to(ARGV[4], ARGV[5])) do
  renew_generation(source)
end
