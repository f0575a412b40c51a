-- die: let a message wait to be buried; it is to be removed from where it was
INSERT INTO dead(queue, reason, parked, rank, created, ttl, expires, client, claim_count, record)
SELECT m.queue, ?, 0, m.rank, m.created, m.ttl, m.expires, m.client, coalesce(free.claim_count, 0), m.record
FROM message AS m LEFT JOIN free ON free.queue = m.queue AND free.rank = m.rank AND free.id = m.id WHERE m.id = ?
-- die_held: the same of a message that a claim holds
INSERT INTO dead(queue, reason, parked, rank, created, ttl, expires, client, claim_count, record)
SELECT m.queue, ?, 0, m.rank, m.created, m.ttl, m.expires, m.client, held.claim_count, m.record
FROM claimed AS held CROSS JOIN message AS m ON m.id = held.id WHERE held.id = ? AND held.claim = ?
-- mourner: the queue, if it has something dead that nobody is at
SELECT project, name, metadata FROM queue
WHERE id = ?1 AND project IS NOT NULL AND (SELECT parked FROM dead WHERE queue = ?1 ORDER BY place LIMIT 1) <= ?2
-- first: the first dead message of a queue
SELECT place, rank, created, ttl, NULL, record, NULL, claim_count, expires, client, reason FROM dead
WHERE queue = ? ORDER BY place LIMIT 1
-- park: keep others from a dead message and those behind it
UPDATE dead SET parked = ? WHERE place = ?
-- unpark: let others have it, if it is still as we parked it
UPDATE dead SET parked = 0 WHERE place = ? AND parked = ?
-- forget: remove a dead message
DELETE FROM dead WHERE place = ?
-- queues: queues that have something dead
WITH RECURSIVE q(id) AS (
    SELECT min(queue) FROM dead
    UNION ALL
    SELECT (SELECT min(queue) FROM dead WHERE queue > q.id) FROM q WHERE q.id IS NOT NULL
)
SELECT id FROM q WHERE id IS NOT NULL
-- dying: queues in which something has expired that is to be buried, unless it left by itself
SELECT id FROM queue WHERE first_death <= ?
-- expect_next: find out when something will
UPDATE queue SET first_death = (
    SELECT min(expires) FROM message WHERE message.queue = queue.id AND expires IS NOT NULL
)
WHERE id = ? AND first_death IS NOT NULL
