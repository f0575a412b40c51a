-- deleted: a deleted queue
SELECT id FROM queue WHERE project IS NULL LIMIT 1
-- free: some free messages of a queue
SELECT rank, id FROM free WHERE queue = ? ORDER BY rank, id LIMIT ?
-- remove_free_up_to: remove the free messages up to a position
DELETE FROM free WHERE queue = ? AND (rank, id) <= (?, ?)
-- delayed: some delayed messages of a queue
SELECT due, id FROM delayed WHERE queue = ? ORDER BY due, id LIMIT ?
-- claims: some claims of a queue
SELECT id FROM claim WHERE queue = ? LIMIT ?
-- claimed: the messages of a claim
SELECT id FROM claimed WHERE claim = ?
-- expiring: some messages of a queue that a claim left in no state because they had expired
SELECT id FROM message WHERE queue = ? AND expires IS NOT NULL LIMIT ?
-- dead: remove some dead messages of a queue
DELETE FROM dead WHERE position IN (SELECT position FROM dead WHERE queue = ? LIMIT ?)
-- aside: remove some messages of a queue that are put aside
DELETE FROM aside WHERE rowid IN (SELECT rowid FROM aside WHERE queue = ? LIMIT ?)
-- queue: remove a queue
DELETE FROM queue WHERE id = ?
-- message: remove a message
DELETE FROM message WHERE id = ?
-- ended_claims: the queues with ended claims
SELECT DISTINCT queue FROM claim WHERE ends <= ? LIMIT ?
-- expired_messages: the queues with expired messages
WITH RECURSIVE q(id) AS (
    SELECT min(queue) FROM message INDEXED BY message_expiry WHERE expires IS NOT NULL
    UNION ALL
    SELECT (SELECT min(queue) FROM message INDEXED BY message_expiry WHERE expires IS NOT NULL AND queue > q.id)
    FROM q WHERE q.id IS NOT NULL
)
SELECT id FROM q
WHERE id IS NOT NULL
    AND EXISTS (
        SELECT 1 FROM message INDEXED BY message_expiry WHERE queue = q.id AND expires IS NOT NULL AND expires <= ?
            AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.id = message.id)
    )
LIMIT ?
