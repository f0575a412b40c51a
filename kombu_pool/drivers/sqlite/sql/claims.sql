-- one: a live claim of a queue
SELECT ttl, renewed FROM claim
WHERE id = ? AND ends > ? AND queue = (SELECT id FROM queue WHERE project = ? AND name = ?)
-- messages: the messages of a claim, in order
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, claimed.claim, claimed.claim_count, m.key
FROM claimed CROSS JOIN message AS m ON m.id = claimed.id WHERE claimed.claim = ? ORDER BY m.rank, m.id
-- renew: renew a live claim of a queue; returns the earliest expiry of its messages
UPDATE claim SET ttl = ?, renewed = ?, ends = ?
WHERE id = ? AND ends > ? AND queue = (SELECT id FROM queue WHERE project = ? AND name = ?)
RETURNING earliest_expiry
-- renew_many: renew those of a list of claims that are live; returns each, and the earliest expiry of its messages
UPDATE claim SET ttl = ?, renewed = ?, ends = ?
WHERE id IN (SELECT value FROM json_each(?)) AND ends > ? AND +queue = ? RETURNING id, earliest_expiry
-- held_by: count the messages of the live claims that a holder has in a queue, without those of some claims
SELECT count(*) FROM claim CROSS JOIN claimed ON claimed.claim = claim.id
WHERE claim.queue = ? AND claim.ends > ? AND claim.holder = ? AND claim.id NOT IN (SELECT value FROM json_each(?))
-- end_held_by: end these claims; their messages are freed as those of any ended claim
UPDATE claim SET ends = 0
WHERE queue = ? AND ends > ? AND holder = ? AND id NOT IN (SELECT value FROM json_each(?))
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
