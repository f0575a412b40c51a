-- due: some delayed messages that are due
SELECT due, id, rank, expires, claim_count FROM delayed WHERE queue = ? AND due <= ? ORDER BY due, id LIMIT ?
-- free_due: make a message free that was delayed
INSERT INTO free(queue, rank, id, expires, claim_count) VALUES(?, ?, ?, ?, ?)
-- ended: some claims of a queue that have ended
SELECT id FROM claim WHERE queue = ? AND ends <= ? ORDER BY ends LIMIT ?
-- free_claimed: free the messages of a claim; their last claim is the given one, or NULL after a release
INSERT OR REPLACE INTO free(queue, rank, id, expires, claim_count, claim)
SELECT m.queue, m.rank, m.id, m.expires, claimed.claim_count, ?
FROM claimed CROSS JOIN message AS m ON m.id = claimed.id WHERE claimed.claim = ?
-- remove_claimed: remove the claimed messages of a claim
DELETE FROM claimed WHERE claim = ?
-- end_claim: remove a claim
DELETE FROM claim WHERE id = ?
-- expired: some expired messages, in the order of their expiry; a claimed message expires once its claim has ended
SELECT id, rank, due FROM message
WHERE queue = ? AND expires <= ? AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.id = message.id)
ORDER BY expires, id LIMIT ?
-- metadata: the metadata of a queue that is not deleted
SELECT metadata FROM queue WHERE id = ? AND project IS NOT NULL
