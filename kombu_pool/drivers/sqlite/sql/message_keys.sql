-- find: the messages with a key in the queues of a project, or in one of them: as they are read, then their queue, its name
-- and metadata, their due time and expiry, the claim that lives, the ended claim that no process has ended yet
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, coalesce(claimed.claim, free.claim),
    coalesce(claimed.claim_count, free.claim_count, delayed.claim_count, 0), m.key,
    queue.id, queue.name, queue.metadata, delayed.due, m.expires, claim.id, claimed.claim
FROM message AS m INDEXED BY message_key
CROSS JOIN queue ON queue.id = m.queue
LEFT JOIN claimed ON claimed.id = m.id
LEFT JOIN claim ON claim.id = claimed.claim AND claim.ends > :elapsed
LEFT JOIN free ON free.queue = m.queue AND free.rank = m.rank AND free.id = m.id
LEFT JOIN delayed ON delayed.queue = m.queue AND delayed.due = m.due AND delayed.id = m.id
WHERE m.key = :key AND queue.project = :project AND (:queue IS NULL OR queue.name = :queue)
    AND (m.expires IS NULL OR m.expires > :wall OR claim.id IS NOT NULL)
ORDER BY queue.name, m.rank, m.id
-- change: change the priority, the due time and the expiry of a message
UPDATE message SET rank = ?, due = ?, expires = ?, ttl = ? WHERE id = ?
-- free: make a message free that may have been claimed
INSERT INTO free(queue, rank, id, expires, claim_count, claim) VALUES(?, ?, ?, ?, ?, ?)
-- delay: make a message delayed that may have been claimed
INSERT INTO delayed(queue, due, id, rank, expires, claim_count) VALUES(?, ?, ?, ?, ?, ?)
