-- extend_expiry: let a claim's messages that would expire before the claim live until its end plus `grace`.
local function extend_expiry(ids, ends, ttl, grace)
  local scores, expiring, records = lookup('ZMSCORE', EXPIRING, ids), {}, {}
  for index, id in ipairs(ids) do
    if scores[index] and tonumber(scores[index]) < ends then
      local record = redis.call('HGET', RECORDS, id)
      expiring[#expiring + 1], expiring[#expiring + 2] = string.format('%.6f', ends + grace), id
      records[#records + 1] = id
      records[#records + 1] = string.sub(record, 1, 8) .. struct.pack('>d', ttl + grace) .. string.sub(record, 17)
    end
  end
  if #expiring > 0 then
    batched('ZADD', EXPIRING, expiring)
    batched('HSET', RECORDS, records)
  end
end

