-- target: the id, the metadata and the incarnation of a queue, and the highest message id of the store
SELECT id, metadata, incarnation, (SELECT max(id) FROM message) FROM queue WHERE project = ? AND name = ?
-- store: store a message
INSERT INTO message(id, queue, rank, created, ttl, key, record, expires, due, client, dead_letter, unique_id,
    unique_until_claimed)
VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- store_plain: store a message that neither expires nor is delayed, dead-lettered or unique, and names no client
INSERT INTO message(id, queue, rank, created, ttl, key, record) VALUES(?, ?, ?, ?, ?, ?, ?)
-- free: make a message free
INSERT INTO free(queue, rank, id, expires, claim_count) VALUES(?, ?, ?, ?, 0)
-- free_plain: make a message free that does not expire
INSERT INTO free(queue, rank, id, claim_count) VALUES(?, ?, ?, 0)
-- delay: make a message delayed
INSERT INTO delayed(queue, due, id, rank, expires) VALUES(?, ?, ?, ?, ?)
-- lower_expiry: lower the earliest expiry of a queue to a time
UPDATE queue SET earliest_expiry = ?1 WHERE id = ?2 AND (earliest_expiry IS NULL OR earliest_expiry > ?1)
-- one: a message by its id
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record,
    coalesce(claimed.claim, free.claim), coalesce(claimed.claim_count, free.claim_count, delayed.claim_count, 0), m.key
FROM message AS m
LEFT JOIN claimed ON claimed.id = m.id
LEFT JOIN free ON free.queue = m.queue AND free.rank = m.rank AND free.id = m.id
LEFT JOIN delayed ON delayed.queue = m.queue AND delayed.due = m.due AND delayed.id = m.id
WHERE m.id = ? AND m.queue = ? AND (m.expires IS NULL OR m.expires > ? OR claimed.id IS NOT NULL)
-- first: the first free message
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, free.claim, free.claim_count, m.key
FROM free CROSS JOIN message AS m ON m.id = free.id
WHERE free.queue = ? AND (free.expires IS NULL OR free.expires > ?) ORDER BY free.rank, free.id LIMIT 1
-- last: the last free message
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, free.claim, free.claim_count, m.key
FROM free CROSS JOIN message AS m ON m.id = free.id
WHERE free.queue = ? AND (free.expires IS NULL OR free.expires > ?) ORDER BY free.rank DESC, free.id DESC LIMIT 1
-- free_page: free messages after a position, in order, except those of one client
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, free.claim, free.claim_count, m.key
FROM free CROSS JOIN message AS m ON m.id = free.id
WHERE free.queue = :queue AND (free.rank, free.id) > (:rank, :id) AND (free.expires IS NULL OR free.expires > :wall)
    AND (:client IS NULL OR m.client IS NOT :client)
ORDER BY free.rank, free.id LIMIT :limit
-- delayed_page: delayed messages after a position, in order, except those of one client
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, NULL, delayed.claim_count, m.key
FROM delayed INDEXED BY delayed_order CROSS JOIN message AS m ON m.id = delayed.id
WHERE delayed.queue = :queue AND (delayed.rank, delayed.id) > (:rank, :id)
    AND (delayed.expires IS NULL OR delayed.expires > :wall) AND (:client IS NULL OR m.client IS NOT :client)
ORDER BY delayed.rank, delayed.id LIMIT :limit
-- claimed_page: claimed messages after a position, except those of one client; few enough to be sorted
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, claimed.claim, claimed.claim_count, m.key
FROM claim CROSS JOIN claimed ON claimed.claim = claim.id CROSS JOIN message AS m ON m.id = claimed.id
WHERE claim.queue = :queue AND claim.ends > :elapsed AND (m.rank, m.id) > (:rank, :id)
    AND (:client IS NULL OR m.client IS NOT :client)
ORDER BY m.rank, m.id LIMIT :limit
-- count: count the free messages
SELECT count(*) FROM free WHERE queue = ? AND (expires IS NULL OR expires > ?)
-- delayed_ids: the ids of the delayed messages that are due first, and when they are
SELECT id, due FROM delayed WHERE queue = ? AND (expires IS NULL OR expires > ?) ORDER BY due, id LIMIT ?
