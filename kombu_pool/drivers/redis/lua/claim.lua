-- claim: lend free messages to one claim, in order. Stops at messages that were lent too often: those are parked
-- under a claim of their own, for the caller to put aside before it claims on.
-- include clock
-- include wakeup
-- include batches
-- include states
-- include extend_expiry
-- include hold_claim
-- KEYS  those of settle
-- ARGV  now, claim, ttl, grace ('': none is prolonged), limit, claim to park under, seconds to park, ids that are lent
--   however often (joined)
-- Returns {ids lent (joined), their marks in `lent`, their records, ids parked (joined), marks, records, expiries,
--   now}; marks are {} where no message has one; behind them 1 when something dead is to be buried.
--   false: nothing to lend, nothing to bury, or no such queue. 'advance' or 'take_dead': run it again.
local state, now = open(ARGV[1])
if state ~= 'current' then return state end
local claim, ttl, grace, limit = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local ids = redis.call('ZRANGE', KEYS[3], 0, limit - 1)
local to_bury = due and due <= now and 1 or nil
if #ids == 0 then return to_bury and {'', {}, {}, '', {}, {}, {}, string.format('%.6f', now), to_bury} end

-- divide: how many of the messages to lend, and how many of the next to park.
local function divide(marks)
  local most = tonumber(redis.call('HGET', KEYS[1], 'max_claim_count') or 0)
  if #marks == 0 or most == 0 then return #ids, 0 end
  local exempt = {}
  for _, id in ipairs(split(ARGV[8])) do exempt[id] = true end
  local lend, park = 0, 0
  for index, id in ipairs(ids) do
    local count = marks[index] and tonumber(string.match(marks[index], '^%d+')) or 0
    if count >= most and not exempt[id] then
      park = park + 1
    elseif park > 0 then
      break
    else
      lend = lend + 1
    end
  end
  return lend, park
end

local function part(list, first, last)
  local parts = {}
  for index = first, last do parts[#parts + 1] = list[index] end
  return parts
end

local marks = redis.call('HLEN', KEYS[9]) > 0 and looked_up('HMGET', KEYS[9], ids) or {}
local lend, park = divide(marks)
-- First what goes: a Redis that is out of memory lets a script add what it needs after that.
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, lend + park - 1)
if is_weighed then weigh(part(ids, 1, lend + park), -1) end
local lent, parked = part(ids, 1, lend), part(ids, lend + 1, lend + park)
local reply = {'', {}, {}, '', {}, {}, {}, string.format('%.6f', now), to_bury}
if lend > 0 then
  hold(claim, now, ttl, lent)
  if grace and redis.call('ZCARD', KEYS[5]) > 0 then prolong(lent, now + ttl, ttl, grace) end
  reply[1], reply[3] = table.concat(lent), looked_up('HMGET', KEYS[2], lent)
  if #marks > 0 then reply[2] = part(marks, 1, lend) end
end
if park > 0 then
  hold(ARGV[6], now, tonumber(ARGV[7]), parked)
  reply[4], reply[6] = table.concat(parked), looked_up('HMGET', KEYS[2], parked)
  reply[5], reply[7] = part(marks, lend + 1, lend + park), looked_up('ZMSCORE', KEYS[5], parked)
end
if redis.call('ZCARD', KEYS[3]) > 0 then
  if KEYS[10] then ring(KEYS[1], KEYS[10]) end
elseif KEYS[10] then
  redis.call('DEL', KEYS[10])
end
return reply
