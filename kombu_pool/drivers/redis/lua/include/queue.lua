-- queue: what the scripts on one queue share: its keys, in the order of KeySets.states, and the states of its messages.
local QUEUE, RECORDS, FREE, DELAYED, EXPIRING, CLAIMED, CLAIM_ENDS, CLAIMS, CLAIM_COUNTS, WAKEUP = unpack(KEYS)
-- include states
