-- target: the queue that a message is for, and the last id that is taken
SELECT id, metadata, (SELECT max(id) FROM message) FROM queue WHERE project = ? AND name = ?
-- store: keep a message
INSERT INTO message(id, queue, rank, created, ttl, expires, due, client, dead_letter, record)
VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- free: let a message be claimed
INSERT INTO free(queue, rank, id, expires, claim_count) VALUES(?, ?, ?, ?, 0)
-- delay: let a message wait until it is due
INSERT INTO delayed(queue, due, id, rank, expires) VALUES(?, ?, ?, ?, ?)
-- expect_death: note that a message of a queue expires then, and is to be buried
UPDATE queue SET first_death = ?1 WHERE id = ?2 AND (first_death IS NULL OR first_death > ?1)
-- one: a message by its id
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record,
    coalesce(held.claim, free.claim), coalesce(held.claim_count, free.claim_count, 0)
FROM message AS m
LEFT JOIN claimed AS held ON held.id = m.id
LEFT JOIN free ON free.queue = m.queue AND free.rank = m.rank AND free.id = m.id
WHERE m.id = ? AND m.queue = ? AND (m.expires IS NULL OR m.expires > ?)
-- first: the first free message
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, free.claim, free.claim_count
FROM free CROSS JOIN message AS m ON m.id = free.id
WHERE free.queue = ? AND (free.expires IS NULL OR free.expires > ?) ORDER BY free.rank, free.id LIMIT 1
-- last: the last free message
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, free.claim, free.claim_count
FROM free CROSS JOIN message AS m ON m.id = free.id
WHERE free.queue = ? AND (free.expires IS NULL OR free.expires > ?) ORDER BY free.rank DESC, free.id DESC LIMIT 1
-- free_page: free messages after a place, in order, but for one client's
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, free.claim, free.claim_count
FROM free CROSS JOIN message AS m ON m.id = free.id
WHERE free.queue = :queue AND (free.rank, free.id) > (:rank, :id) AND (free.expires IS NULL OR free.expires > :now)
    AND (:client IS NULL OR m.client IS NOT :client)
ORDER BY free.rank, free.id LIMIT :limit
-- delayed_page: the same of delayed messages
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, NULL, 0
FROM delayed INDEXED BY delayed_order CROSS JOIN message AS m ON m.id = delayed.id
WHERE delayed.queue = :queue AND (delayed.rank, delayed.id) > (:rank, :id)
    AND (delayed.expires IS NULL OR delayed.expires > :now) AND (:client IS NULL OR m.client IS NOT :client)
ORDER BY delayed.rank, delayed.id LIMIT :limit
-- claimed_page: the same of claimed messages; they are few, so they are sorted
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, held.claim, held.claim_count
FROM claim CROSS JOIN claimed AS held ON held.claim = claim.id CROSS JOIN message AS m ON m.id = held.id
WHERE claim.queue = :queue AND claim.ends > :now AND (m.rank, m.id) > (:rank, :id)
    AND (m.expires IS NULL OR m.expires > :now) AND (:client IS NULL OR m.client IS NOT :client)
ORDER BY m.rank, m.id LIMIT :limit
-- count: count the free messages
SELECT count(*) FROM free WHERE queue = ? AND (expires IS NULL OR expires > ?)
-- client: who posted a message
SELECT client FROM message WHERE id = ?
