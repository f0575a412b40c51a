-- state: where a message is, and which claim holds it until when
SELECT m.rank, m.due, held.claim, claim.ends
FROM message AS m
LEFT JOIN claimed AS held ON held.id = m.id
LEFT JOIN claim ON claim.id = held.claim
WHERE m.id = ? AND m.queue = ? AND (m.expires IS NULL OR m.expires > ?)
-- claim_lives: whether a claim of a queue lives
SELECT 1 FROM claim WHERE id = ? AND queue = ? AND ends > ?
-- message: remove messages themselves
DELETE FROM message WHERE id = ?
-- held: remove messages from among the claimed, under their claim
DELETE FROM claimed WHERE id = ? AND claim = ?
-- claimed: remove messages from among the claimed
DELETE FROM claimed WHERE id = ?
-- free: remove messages from among the free
DELETE FROM free WHERE queue = ? AND rank = ? AND id = ?
-- delayed: remove messages from among the delayed
DELETE FROM delayed WHERE queue = ? AND due = ? AND id = ?
-- end_empty: end a claim that holds nothing any more
DELETE FROM claim WHERE id = ? AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.claim = claim.id)
-- free_chunk: some free messages up to an id
SELECT rank, id, expires FROM free WHERE queue = ? AND id <= ? ORDER BY rank, id LIMIT ?
-- delayed_chunk: some delayed messages up to an id
SELECT due, id, expires FROM delayed WHERE queue = ? AND id <= ? ORDER BY due, id LIMIT ?
-- last_id: the last id that is taken
SELECT max(id) FROM message
-- is_held: whether a claim holds a message
SELECT 1 FROM claimed WHERE id = ? AND claim = ?
