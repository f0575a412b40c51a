-- mark_dead: store a message that no claim holds as dead; its other rows are removed by other statements
INSERT INTO dead(queue, reason, reserved_until, rank, created, ttl, expires, client, claim_count, key, record)
SELECT m.queue, ?, 0, m.rank, m.created, m.ttl, m.expires, m.client, coalesce(free.claim_count, 0), m.key, m.record
FROM message AS m LEFT JOIN free ON free.queue = m.queue AND free.rank = m.rank AND free.id = m.id WHERE m.id = ?
-- mark_claimed_dead: store a message as dead if that claim holds it
INSERT INTO dead(queue, reason, reserved_until, rank, created, ttl, expires, client, claim_count, key, record)
SELECT m.queue, ?, 0, m.rank, m.created, m.ttl, m.expires, m.client, claimed.claim_count, m.key, m.record
FROM claimed CROSS JOIN message AS m ON m.id = claimed.id WHERE claimed.id = ? AND claimed.claim = ?
-- source: a queue whose first dead message is not reserved
SELECT project, name, metadata FROM queue
WHERE id = ?1 AND project IS NOT NULL
    AND (SELECT reserved_until FROM dead WHERE queue = ?1 ORDER BY position LIMIT 1) <= ?2
-- first: the first dead message of a queue
SELECT position, rank, created, ttl, NULL, record, NULL, claim_count, key, expires, client, reason FROM dead
WHERE queue = ? ORDER BY position LIMIT 1
-- reserve: reserve a dead message, and with it those behind it
UPDATE dead SET reserved_until = ? WHERE position = ?
-- unreserve: end a reservation, if it is still the given one
UPDATE dead SET reserved_until = 0 WHERE position = ? AND reserved_until = ?
-- remove: remove a dead message
DELETE FROM dead WHERE position = ?
-- queues_with_dead: the queues that have dead messages
WITH RECURSIVE q(id) AS (
    SELECT min(queue) FROM dead
    UNION ALL
    SELECT (SELECT min(queue) FROM dead WHERE queue > q.id) FROM q WHERE q.id IS NOT NULL
)
SELECT id FROM q WHERE id IS NOT NULL
-- queues_with_expired: the queues in which messages may have expired to a dead-letter queue
SELECT id FROM queue WHERE earliest_expiry <= ?
-- reset_expiry: store the earliest expiry of a queue's messages
UPDATE queue SET earliest_expiry = (
    SELECT min(expires) FROM message WHERE message.queue = queue.id AND expires IS NOT NULL
)
WHERE id = ? AND earliest_expiry IS NOT NULL
