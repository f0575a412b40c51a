-- claim: lend free messages to one claim, in order. Stops at messages that were lent too often: those are parked
-- under a claim of their own, for the caller to put aside before it claims on.
-- include queue
-- include hold_claim
-- KEYS  those of settle
-- ARGV  now, claim, ttl, grace ('': none is prolonged), limit, claim to park under, seconds to park, ids that are lent
--   however often (joined)
-- Returns {ids lent (joined), their marks in `lent`, their records, ids parked (joined), marks, records, expiries,
--   now}; marks are {} where no message has one; behind them 1 when something dead is to be buried.
--   false: nothing to lend, nothing to bury, or no such queue. 'advance' or 'take_dead': run it again.
local state, now = advance(ARGV[1])
if state ~= 'current' then return state end
local claim, ttl, grace, limit = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local ids = redis.call('ZRANGE', FREE, 0, limit - 1)
local to_bury = dead_due and dead_due <= now and 1 or nil
if #ids == 0 then return to_bury and {'', {}, {}, '', {}, {}, {}, string.format('%.6f', now), to_bury} end

-- divide: how many of the messages to lend, and how many of the next to park.
local function divide(claim_counts)
  local most = tonumber(redis.call('HGET', QUEUE, 'max_claim_count') or 0)
  if #claim_counts == 0 or most == 0 then return #ids, 0 end
  local exempt = {}
  for _, id in ipairs(split(ARGV[8])) do exempt[id] = true end
  local lend, reserve = 0, 0
  for index, id in ipairs(ids) do
    local count = claim_counts[index] and tonumber(string.match(claim_counts[index], '^%d+')) or 0
    if count >= most and not exempt[id] then
      reserve = reserve + 1
    elseif reserve > 0 then
      break
    else
      lend = lend + 1
    end
  end
  return lend, reserve
end

local function part(list, first, last)
  local parts = {}
  for index = first, last do parts[#parts + 1] = list[index] end
  return parts
end

local claim_counts = redis.call('HLEN', CLAIM_COUNTS) > 0 and lookup('HMGET', CLAIM_COUNTS, ids) or {}
local lend, reserve = divide(claim_counts)
-- First what goes: a Redis that is out of memory lets a script add what it needs after that.
redis.call('ZREMRANGEBYRANK', FREE, 0, lend + reserve - 1)
if counts_bytes then count_bytes(part(ids, 1, lend + reserve), -1) end
local lent, parked = part(ids, 1, lend), part(ids, lend + 1, lend + reserve)
local reply = {'', {}, {}, '', {}, {}, {}, string.format('%.6f', now), to_bury}
if lend > 0 then
  hold_claim(claim, now, ttl, lent)
  if grace and redis.call('ZCARD', EXPIRING) > 0 then extend_expiry(lent, now + ttl, ttl, grace) end
  reply[1], reply[3] = table.concat(lent), lookup('HMGET', RECORDS, lent)
  if #claim_counts > 0 then reply[2] = part(claim_counts, 1, lend) end
end
if reserve > 0 then
  hold_claim(ARGV[6], now, tonumber(ARGV[7]), parked)
  reply[4], reply[6] = table.concat(parked), lookup('HMGET', RECORDS, parked)
  reply[5], reply[7] = part(claim_counts, lend + 1, lend + reserve), lookup('ZMSCORE', EXPIRING, parked)
end
if redis.call('ZCARD', FREE) > 0 then
  if WAKEUP then wake(QUEUE, WAKEUP) end
elseif WAKEUP then
  redis.call('DEL', WAKEUP)
end
return reply
