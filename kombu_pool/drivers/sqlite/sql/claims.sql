-- look: the queue, its metadata, whether anything is free, is to be settled first, or is dead
SELECT id, metadata,
    EXISTS (SELECT 1 FROM free WHERE free.queue = queue.id),
    EXISTS (SELECT 1 FROM delayed WHERE delayed.queue = queue.id AND due <= ?1)
    OR EXISTS (SELECT 1 FROM claim WHERE claim.queue = queue.id AND ends <= ?1)
    OR EXISTS (SELECT 1 FROM message WHERE message.queue = queue.id AND expires <= ?1),
    EXISTS (SELECT 1 FROM dead WHERE dead.queue = queue.id)
FROM queue WHERE project = ?2 AND name = ?3
-- batch: the first free messages
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, free.claim, free.claim_count, free.expires
FROM free CROSS JOIN message AS m ON m.id = free.id
WHERE free.queue = ? AND (free.expires IS NULL OR free.expires > ?) ORDER BY free.rank, free.id LIMIT ?
-- pick: one message, if it is free
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, free.claim, free.claim_count, free.expires
FROM message AS m CROSS JOIN free ON free.queue = m.queue AND free.rank = m.rank AND free.id = m.id
WHERE m.id = ? AND m.queue = ? AND (free.expires IS NULL OR free.expires > ?)
-- lend_one: let a claim hold one message that was lent so often, with this time or without
INSERT INTO claimed(id, claim, claim_count) VALUES(?, ?, ?)
-- lend: let a claim hold the free messages up to a place
INSERT INTO claimed(id, claim, claim_count)
SELECT id, ?, claim_count + 1 FROM free
WHERE queue = ? AND (rank, id) <= (?, ?) AND (expires IS NULL OR expires > ?)
-- take: remove the messages up to a place from among the free, but for those that have expired
DELETE FROM free WHERE queue = ? AND (rank, id) <= (?, ?) AND (expires IS NULL OR expires > ?)
-- begin: begin a claim
INSERT INTO claim(id, queue, ttl, renewed, ends, expires) VALUES(?, ?, ?, ?, ?, ?)
-- prolong: keep a message that would expire too early
UPDATE message SET expires = ?, ttl = ? WHERE id = ?
-- one: a living claim of a queue
SELECT claim.ttl, claim.renewed, claim.expires, claim.queue FROM claim
WHERE claim.id = ? AND claim.ends > ? AND claim.queue = (SELECT id FROM queue WHERE project = ? AND name = ?)
-- messages: what a claim holds, in order
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, held.claim, held.claim_count
FROM claimed AS held CROSS JOIN message AS m ON m.id = held.id WHERE held.claim = ? ORDER BY m.rank, m.id
-- renew: let a claim live on
UPDATE claim SET ttl = ?, renewed = ?, ends = ?
WHERE id = ? AND ends > ? AND queue = (SELECT id FROM queue WHERE project = ? AND name = ?)
RETURNING expires
-- expiring: the messages of a claim that would expire before a time
SELECT m.id FROM claimed AS held CROSS JOIN message AS m ON m.id = held.id WHERE held.claim = ? AND m.expires < ?
-- reset_expiry: note when the first message of a claim expires
UPDATE claim SET expires = (
    SELECT min(m.expires) FROM claimed AS held CROSS JOIN message AS m ON m.id = held.id WHERE held.claim = ?1
)
WHERE id = ?1
-- release: free all that a claim holds, with the claim that it shall name (none when it was given back)
INSERT OR REPLACE INTO free(queue, rank, id, expires, claim_count, claim)
SELECT m.queue, m.rank, m.id, m.expires, held.claim_count, ?
FROM claimed AS held CROSS JOIN message AS m ON m.id = held.id WHERE held.claim = ?
-- release_one: free one message that a claim holds
INSERT OR REPLACE INTO free(queue, rank, id, expires, claim_count)
SELECT m.queue, m.rank, m.id, m.expires, held.claim_count
FROM claimed AS held CROSS JOIN message AS m ON m.id = held.id WHERE held.id = ? AND held.claim = ?
-- give_back: let a claim hold nothing
DELETE FROM claimed WHERE claim = ?
-- end: end a claim
DELETE FROM claim WHERE id = ?
-- ended: some claims of a queue that have ended
SELECT id FROM claim WHERE queue = ? AND ends <= ? ORDER BY ends LIMIT ?
-- due: some delayed messages that are due
SELECT due, id, rank, expires FROM delayed WHERE queue = ? AND due <= ? ORDER BY due, id LIMIT ?
-- expired: some messages that have expired
SELECT id, rank, due FROM message WHERE queue = ? AND expires <= ? ORDER BY expires LIMIT ?
-- buried_expired: the same of a queue that buries them; a claimed one waits for its claim's end, and is counted then
SELECT id, rank, due FROM message
WHERE queue = ? AND expires <= ? AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.id = message.id)
ORDER BY expires, id LIMIT ?
-- metadata: the metadata of a queue that is not deleted
SELECT metadata FROM queue WHERE id = ? AND project IS NOT NULL
