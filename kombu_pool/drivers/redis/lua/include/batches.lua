-- batched: run a command on a list of any length, CHUNK arguments at a time, and return the sum of its integer answers.
-- Lua's unpack fails near 8,000 values.
local CHUNK = 1000
local function batched(command, key, arguments)
  local sum = 0
  for first = 1, #arguments, CHUNK do
    sum = sum + redis.call(command, key, unpack(arguments, first, math.min(first + CHUNK - 1, #arguments)))
  end
  return sum
end

-- lookup: the same for a command that returns one element for each argument.
local function lookup(command, key, arguments)
  if #arguments <= CHUNK then return redis.call(command, key, unpack(arguments)) end
  local found = {}
  for first = 1, #arguments, CHUNK do
    local part = redis.call(command, key, unpack(arguments, first, math.min(first + CHUNK - 1, #arguments)))
    for index = 1, #part do found[first + index - 1] = part[index] end
  end
  return found
end

-- split: the ids in a joined string, each of `size` bytes (8 by default).
local function split(ids, size)
  local parts = {}
  size = size or 8
  for index = 1, #ids, size do parts[#parts + 1] = string.sub(ids, index, index + size - 1) end
  return parts
end

