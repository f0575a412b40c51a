-- aside: the keys of the scripts that move messages out of a queue, and the states of those that it has.
-- KEYS  as KeySets.moving and QueueKeys describe them; a Redis Cluster has no WAKEUP
--   ASIDE (hash): message -> 'place:count:expiry:due:scope:length:', the unique id that it holds, which has that length,
--   and its record; HOLD and that id -> the message and its key. Scope is 'w' or 'u' as in unique_holder, or ''
local QUEUE, RECORDS, FREE, DELAYED, EXPIRING, CLAIMED, CLAIM_ENDS, CLAIMS, CLAIM_COUNTS,
  MESSAGE_KEYS, BY_KEY, DEAD, ASIDE, WAKEUP = unpack(KEYS)
-- include states
-- include aside_holds

-- absence: what a script returns if there is no queue, or one that bears another incarnation.
local function absence()
  return redis.call('EXISTS', QUEUE) == 0 and 'absent' or 'another'
end

