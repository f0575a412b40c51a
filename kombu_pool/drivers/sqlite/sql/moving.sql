-- arrival: the epoch of a queue that stores batches, and the ids of the last one
SELECT epoch, batch FROM arrival WHERE queue = ?
-- set_epoch: set the epoch of a queue
INSERT INTO arrival(queue, epoch, batch) VALUES(?, ?, '[]') ON CONFLICT DO UPDATE SET epoch = excluded.epoch
-- set_batch: set the ids of the last batch
UPDATE arrival SET batch = ? WHERE queue = ?
-- remove_arrival: let no process store batches in a queue
DELETE FROM arrival WHERE queue = ?
-- next_ids: give some ids to messages from another store; returns the last one
UPDATE store SET moved = moved + ? RETURNING moved
-- put_free_aside: put the first free messages aside
INSERT INTO aside(queue, id, rank, created, ttl, expires, due, client, claim_count, dead_letter, key, unique_id,
    unique_until_claimed, record)
SELECT m.queue, m.id, m.rank, m.created, m.ttl, m.expires, NULL, m.client, free.claim_count, m.dead_letter, m.key,
    m.unique_id, m.unique_until_claimed, m.record
FROM free CROSS JOIN message AS m ON m.id = free.id
WHERE free.queue = ? AND (free.expires IS NULL OR free.expires > ?) ORDER BY free.rank, free.id LIMIT ?
-- put_delayed_aside: put the first delayed messages aside
INSERT INTO aside(queue, id, rank, created, ttl, expires, due, client, claim_count, dead_letter, key, unique_id,
    unique_until_claimed, record)
SELECT m.queue, m.id, m.rank, m.created, m.ttl, m.expires, delayed.due, m.client, delayed.claim_count, m.dead_letter,
    m.key, m.unique_id, m.unique_until_claimed, m.record
FROM delayed INDEXED BY delayed_order CROSS JOIN message AS m ON m.id = delayed.id
WHERE delayed.queue = ? AND (delayed.expires IS NULL OR delayed.expires > ?)
ORDER BY delayed.rank, delayed.id LIMIT ?
-- aside: the messages that are put aside: first those that were free, each in order
SELECT id, rank, due, record, created, ttl, expires, claim_count, key, client, dead_letter, unique_id,
    unique_until_claimed
FROM aside WHERE queue = ? ORDER BY due IS NOT NULL, rank, id
-- remove: remove a message that is put aside
DELETE FROM aside WHERE queue = ? AND id = ?
-- remaining: count what is stored in a queue, and the ids that are held for a time; each up to a limit
SELECT (SELECT count(*) FROM (SELECT 1 FROM free WHERE queue = :queue LIMIT :limit))
    + (SELECT count(*) FROM (SELECT 1 FROM delayed WHERE queue = :queue LIMIT :limit))
    + (SELECT count(*) FROM (
        SELECT 1 FROM claim CROSS JOIN claimed ON claimed.claim = claim.id WHERE claim.queue = :queue LIMIT :limit
    ))
    + (SELECT count(*) FROM (SELECT 1 FROM dead WHERE queue = :queue LIMIT :limit))
    + (SELECT count(*) FROM (SELECT 1 FROM aside WHERE queue = :queue LIMIT :limit))
    + (SELECT count(*) FROM (SELECT 1 FROM unique_id WHERE queue = :queue AND until > :wall LIMIT :limit))
-- stateless: count messages of a queue that expire; a claim leaves them in no state if they had expired before
SELECT count(*) FROM (SELECT 1 FROM message WHERE queue = :queue AND expires IS NOT NULL LIMIT :limit)
