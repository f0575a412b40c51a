-- claim_free: claim free messages in order, and return. Messages over the delivery limit are claimed under a
-- reservation of their own and end the run: the caller dead-letters them before it claims on. The includer has the time
-- in `now`.
-- ARGV  now, incarnation that the queue must bear ('' for any), claim, ttl, grace ('': no expiry is extended), limit,
--   reservation, its seconds, ids exempt from the delivery limit (joined), tag of the claim's holder
-- A queue that is paused has nothing to claim.
-- Returns {ids claimed (joined), their claim counts, their records, ids reserved (joined), claim counts, records,
--   expiries, now}, then 1 when dead letters are due; claim counts are {} where no message has one. Returns false when
--   there is nothing to claim and no dead letter due.
local claim, ttl, grace, limit = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local ids = limit > 0 and not paused and redis.call('ZRANGE', FREE, 0, limit - 1) or {}
local dead_is_due = dead_due and dead_due <= now and 1 or nil
if #ids == 0 then return dead_is_due and {'', {}, {}, '', {}, {}, {}, string.format('%.6f', now), dead_is_due} end
-- include hold_claim

-- divide: how many of the messages to claim, and how many of the next to reserve.
local function divide(claim_counts)
  if #claim_counts == 0 then return #ids, 0 end
  local max_claim_count = tonumber(redis.call('HGET', QUEUE, 'max_claim_count') or 0)
  if max_claim_count == 0 then return #ids, 0 end
  local exempt = {}
  for _, id in ipairs(split(ARGV[9])) do exempt[id] = true end
  local to_claim, to_reserve = 0, 0
  for index, id in ipairs(ids) do
    local count = claim_counts[index] and tonumber(string.match(claim_counts[index], '^%d+')) or 0
    if count >= max_claim_count and not exempt[id] then
      to_reserve = to_reserve + 1
    elseif to_reserve > 0 then
      break
    else
      to_claim = to_claim + 1
    end
  end
  return to_claim, to_reserve
end

local function part(list, first, last)
  if first == 1 and last == #list then return list end
  local parts = {}
  for index = first, last do parts[#parts + 1] = list[index] end
  return parts
end

local claim_counts = redis.call('HLEN', CLAIM_COUNTS) > 0 and lookup('HMGET', CLAIM_COUNTS, ids) or {}
local to_claim, to_reserve = divide(claim_counts)
-- Removed first: see OUT OF MEMORY in states.
redis.call('ZREMRANGEBYRANK', FREE, 0, to_claim + to_reserve - 1)
if counts_bytes then count_bytes(part(ids, 1, to_claim + to_reserve), -1) end
local claimed, reserved = part(ids, 1, to_claim), part(ids, to_claim + 1, to_claim + to_reserve)
local reply = {'', {}, {}, '', {}, {}, {}, string.format('%.6f', now), dead_is_due}
if to_claim > 0 then
  hold_claim(claim, ARGV[10], now, ttl, claimed)
  if grace and redis.call('ZCARD', EXPIRING) > 0 then extend_expiry(claimed, now + ttl, ttl, grace) end
  reply[1], reply[3] = table.concat(claimed), lookup('HMGET', RECORDS, claimed)
  if #claim_counts > 0 then reply[2] = part(claim_counts, 1, to_claim) end
end
if to_reserve > 0 then
  hold_claim(ARGV[7], ARGV[10], now, tonumber(ARGV[8]), reserved)
  reply[4], reply[6] = table.concat(reserved), lookup('HMGET', RECORDS, reserved)
  reply[5], reply[7] = part(claim_counts, to_claim + 1, to_claim + to_reserve), lookup('ZMSCORE', EXPIRING, reserved)
end
if redis.call('ZCARD', FREE) > 0 then
  if WAKEUP then wake(QUEUE, WAKEUP) end
elseif WAKEUP then
  redis.call('DEL', WAKEUP)
end
return reply
