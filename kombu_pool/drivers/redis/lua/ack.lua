-- ack: delete messages under the claims that hold them.
-- KEYS  RECORDS to BY_KEY: see queue
-- ARGV  now, then see acknowledge
-- Returns what acknowledge adds.
local RECORDS, FREE, DELAYED, EXPIRING, CLAIMED, CLAIM_ENDS, CLAIMS, CLAIM_COUNTS, MESSAGE_KEYS, BY_KEY = unpack(KEYS)
-- include clock
-- include batches
-- include message_keys
local first, now, answers = 2, clock(ARGV[1]), {}
-- include acknowledge
return answers
