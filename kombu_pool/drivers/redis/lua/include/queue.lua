-- queue: the keys of the scripts on one queue, and the states of its messages.
-- KEYS  as KeySets.states and QueueKeys describe them; a Redis Cluster has no WAKEUP
local QUEUE, RECORDS, FREE, DELAYED, EXPIRING, CLAIMED, CLAIM_ENDS, CLAIMS, CLAIM_COUNTS,
  MESSAGE_KEYS, BY_KEY, WAKEUP = unpack(KEYS)
-- include states
