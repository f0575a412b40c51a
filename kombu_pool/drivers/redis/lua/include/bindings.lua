-- bindings: exchanges and their bindings.
-- KEYS  exchanges by member (hash): sixteen digits, the generation, then a record; the last generation; bindings
--   (hash): binding -> its number, once a generation; bindings by exchange and number (zset); bindings by destination
--   and number (zset); exchanges by name (zset); assignment by queue (hash)
-- A binding is its project, exchange, kind of destination, destination, routing key and arguments, a NUL between two.
local EXCHANGES, GENERATION, BINDINGS, BY_EXCHANGE, BY_DESTINATION, EXCHANGE_NAMES, ASSIGNMENTS = unpack(KEYS)
-- include assignments

-- next_generation: a generation after the last one, and after those that a server lost in a failover may have given.
local function next_generation()
  local last = tonumber(redis.call('GET', GENERATION) or 0)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local generation = string.format('%016.0f', math.max(last + 1, now))
  redis.call('SET', GENERATION, generation)
  return generation
end

-- renew_generation: give an exchange a new generation, if it exists.
local function renew_generation(exchange)
  local stored = redis.call('HGET', EXCHANGES, exchange)
  if stored then
    redis.call('HSET', EXCHANGES, exchange, next_generation() .. string.sub(stored, 17))
  end
end

-- entries: the members of BY_EXCHANGE and BY_DESTINATION for a binding and its number.
local function entries(binding, number)
  local project, exchange, kind, destination, rest = string.match(binding, '^(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(.*)$')
  return table.concat({project, exchange, number, kind, destination, rest}, '\0'),
    table.concat({project, kind, destination, number, exchange, rest}, '\0')
end

-- remove_binding: remove a binding; its exchange's member, or nil when it did not exist.
local function remove_binding(binding)
  local number = redis.call('HGET', BINDINGS, binding)
  if not number then
    return nil
  end
  local from, to = entries(binding, number)
  redis.call('HDEL', BINDINGS, binding)
  redis.call('ZREM', BY_EXCHANGE, from)
  redis.call('ZREM', BY_DESTINATION, to)
  return string.match(binding, '^%Z*%z%Z*')
end

-- remove_bindings_to: remove the bindings to a destination, given by its bounds; the members of their exchanges, each
-- once, in order.
local function remove_bindings_to(first, last)
  local sources, seen = {}, {}
  for _, entry in ipairs(redis.call('ZRANGEBYLEX', BY_DESTINATION, first, last)) do
    local project, way, exchange, rest = string.match(entry, '^(%Z*)%z(%Z*%z%Z*)%z%Z*%z(%Z*)%z(.*)$')
    local source = remove_binding(table.concat({project, exchange, way, rest}, '\0'))
    if not seen[source] then
      seen[source] = true
      table.insert(sources, source)
    end
  end
  return sources
end
