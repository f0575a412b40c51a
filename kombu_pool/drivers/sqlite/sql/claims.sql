-- one: a live claim of a queue
SELECT ttl, renewed FROM claim
WHERE id = ? AND ends > ? AND queue = (SELECT id FROM queue WHERE project = ? AND name = ?)
-- messages: the messages of a claim, in order
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, claimed.claim, claimed.claim_count
FROM claimed CROSS JOIN message AS m ON m.id = claimed.id WHERE claimed.claim = ? ORDER BY m.rank, m.id
-- renew: renew a live claim of a queue; returns the earliest expiry of its messages
UPDATE claim SET ttl = ?, renewed = ?, ends = ?
WHERE id = ? AND ends > ? AND queue = (SELECT id FROM queue WHERE project = ? AND name = ?)
RETURNING earliest_expiry
-- expiring: the messages of a claim that expire before a time
SELECT m.id FROM claimed CROSS JOIN message AS m ON m.id = claimed.id WHERE claimed.claim = ? AND m.expires < ?
-- reset_expiry: store the earliest expiry of a claim's messages
UPDATE claim SET earliest_expiry = (
    SELECT min(m.expires) FROM claimed CROSS JOIN message AS m ON m.id = claimed.id WHERE claimed.claim = ?1
)
WHERE id = ?1
-- release: free one message of a claim
INSERT OR REPLACE INTO free(queue, rank, id, expires, claim_count)
SELECT m.queue, m.rank, m.id, m.expires, claimed.claim_count
FROM claimed CROSS JOIN message AS m ON m.id = claimed.id WHERE claimed.id = ? AND claimed.claim = ?
