-- subscriptions/replace: replace the record of a queue's subscriptions, if it is still the one that was read.
-- KEYS  queue, subscriptions
-- ARGV  now, record that was read or "", new record or "", expiry of its last subscription or "" for none
-- Returns 1 when it was replaced; 0 when there is another one.
-- include clock
local QUEUE, SUBSCRIPTIONS = unpack(KEYS)
local found = redis.call('GET', SUBSCRIPTIONS) or ''
if found == ARGV[3] then return 1 end -- the answer to the first run was lost
if found ~= ARGV[2] then return 0 end
if #ARGV[3] <= #found then
  -- A full Redis refuses only the first write of a script: subscriptions can be deleted from it.
  redis.call('UNLINK', SUBSCRIPTIONS)
end
if ARGV[3] ~= '' then redis.call('SET', SUBSCRIPTIONS, ARGV[3]) end
if ARGV[4] ~= '' and redis.call('EXISTS', QUEUE) == 0 then
  -- No collector finds the subscriptions of a queue that does not exist.
  redis.call('PEXPIRE', SUBSCRIPTIONS, math.ceil((ARGV[4] - clock(ARGV[1])) * 1000))
end
return 1
