-- expired_queues: the members of queues without a holder for longer than their lifetime. Checks due queues only, at most
-- ten times the limit. The includer includes consumers.
local function expired_queues(now, limit)
  local found, left = {}, 10 * limit
  local function check(queue)
    local last = last_use(queue) or 0
    if last + tonumber(redis.call('HGET', LIFETIMES, queue)) <= now then
      table.insert(found, queue)
    else
      expire_after(queue, last)
    end
  end

  while #found < limit and left > 0 do
    local queues = redis.call('ZRANGEBYSCORE', MAY_EXPIRE, '-inf', now, 'LIMIT', #found, limit - #found)
    if #queues == 0 then break end
    left = left - #queues
    for _, queue in ipairs(queues) do check(queue) end
  end
  return found
end

