-- live_holders: the live holders whose names begin with a text, each once. Reads the ended ones among these, too. The
-- includer includes consumers.
-- include batches
local function live_holders(text, now)
  -- No byte of a name is \255.
  local entries = redis.call('ZRANGEBYLEX', HELD_QUEUES, '[' .. text, '(' .. text .. '\255')
  local ends, holders, last = #entries > 0 and lookup('ZMSCORE', HOLDER_ENDS, entries) or {}, {}, nil
  for index, entry in ipairs(entries) do
    if ends[index] and tonumber(ends[index]) > now then
      local holder = string.match(entry, '^%Z*')
      if holder ~= last then holders[#holders + 1], last = holder, holder end
    end
  end
  return holders
end

