-- state: the rank and the due time of a message, the claim that holds it and the end of that claim
SELECT m.rank, m.due, claimed.claim, claim.ends
FROM message AS m
LEFT JOIN claimed ON claimed.id = m.id
LEFT JOIN claim ON claim.id = claimed.claim
WHERE m.id = ? AND m.queue = ? AND (m.expires IS NULL OR m.expires > ? OR claim.ends > ?)
-- live_claim: whether a claim of a queue is live
SELECT 1 FROM claim WHERE id = ? AND queue = ? AND ends > ?
-- message: remove a message
DELETE FROM message WHERE id = ?
-- claimed_by: remove a message from the claimed ones if that claim holds it
DELETE FROM claimed WHERE id = ? AND claim = ?
-- claimed: remove a message from the claimed ones
DELETE FROM claimed WHERE id = ?
-- free: remove a message from the free ones
DELETE FROM free WHERE queue = ? AND rank = ? AND id = ?
-- delayed: remove a message from the delayed ones
DELETE FROM delayed WHERE queue = ? AND due = ? AND id = ?
-- empty_claim: remove a claim that holds no message
DELETE FROM claim WHERE id = ? AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.claim = claim.id)
-- free_chunk: some free messages up to an id
SELECT rank, id, expires FROM free WHERE queue = ? AND id <= ? ORDER BY rank, id LIMIT ?
-- delayed_chunk: some delayed messages up to an id
SELECT due, id, expires FROM delayed WHERE queue = ? AND id <= ? ORDER BY due, id LIMIT ?
-- last_id: the highest message id of the store
SELECT max(id) FROM message
-- holds: whether a claim holds a message
SELECT 1 FROM claimed WHERE id = ? AND claim = ?
