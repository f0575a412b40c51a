-- What all who change exchanges and bindings share: KEYS 1 to 5.
-- KEYS  1 exchanges by member (hash): sixteen digits, which are the generation, and a record    2 the last generation
--       3 bindings (hash): binding -> its number, which was a generation
--       4 bindings by exchange and number (zset)    5 bindings by destination and number (zset)
-- A binding is its project, exchange, kind of destination, destination, routing key and arguments, a NUL between two.

-- Return a generation: later than the last one, and than those which a server may have given that is lost by now.
local EXCHANGES, GENERATION, BINDINGS, BY_EXCHANGE, BY_DESTINATION, EXCHANGE_NAMES = unpack(KEYS)

local function next_generation()
  local last = tonumber(redis.call('GET', GENERATION) or 0)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local generation = string.format('%016.0f', math.max(last + 1, now))
  redis.call('SET', GENERATION, generation)
  return generation
end

-- Give an exchange another generation, if it is there.
local function renew_generation(exchange)
  local stored = redis.call('HGET', EXCHANGES, exchange)
  if stored then
    redis.call('HSET', EXCHANGES, exchange, next_generation() .. string.sub(stored, 17))
  end
end

-- Return the members of both orders for a binding of a number.
local function entries(binding, number)
  local project, exchange, kind, destination, rest = string.match(binding, '^(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(.*)$')
  return table.concat({project, exchange, number, kind, destination, rest}, '\0'),
    table.concat({project, kind, destination, number, exchange, rest}, '\0')
end

-- Remove a binding; return its exchange's member, or nil when it was not there.
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

-- Remove all bindings to a destination, by its bounds; return the members of their exchanges, each once, in order.
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
