-- peek: the queue, its metadata; whether it has free messages, ones to advance, dead ones; its incarnation; if it is paused
SELECT id, metadata,
    EXISTS (SELECT 1 FROM free WHERE free.queue = queue.id),
    EXISTS (SELECT 1 FROM delayed WHERE delayed.queue = queue.id AND due <= ?1)
    OR EXISTS (SELECT 1 FROM claim WHERE claim.queue = queue.id AND ends <= ?2)
    OR EXISTS (
        SELECT 1 FROM message WHERE message.queue = queue.id AND expires <= ?1
            AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.id = message.id)
    ),
    EXISTS (SELECT 1 FROM dead WHERE dead.queue = queue.id),
    incarnation, paused
FROM queue WHERE project = ?3 AND name = ?4
-- first_free: the first free messages
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, free.claim, free.claim_count, m.key,
    free.expires, m.client
FROM free CROSS JOIN message AS m ON m.id = free.id
WHERE free.queue = ? AND (free.expires IS NULL OR free.expires > ?) ORDER BY free.rank, free.id LIMIT ?
-- free_by_id: one message, if it is free
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, free.claim, free.claim_count, m.key,
    free.expires
FROM message AS m CROSS JOIN free ON free.queue = m.queue AND free.rank = m.rank AND free.id = m.id
WHERE m.id = ? AND m.queue = ? AND (free.expires IS NULL OR free.expires > ?)
-- claim_one: claim one message, with the given claim count
INSERT INTO claimed(id, claim, claim_count) VALUES(?, ?, ?)
-- hold: let another claim hold a claimed message
UPDATE claimed SET claim = ? WHERE id = ?
-- claim_up_to: claim the free messages up to a position, except expired ones
INSERT INTO claimed(id, claim, claim_count)
SELECT id, ?, claim_count + 1 FROM free
WHERE queue = ? AND (rank, id) <= (?, ?) AND (expires IS NULL OR expires > ?)
-- remove_free_up_to: remove the free messages up to a position, except expired ones
DELETE FROM free WHERE queue = ? AND (rank, id) <= (?, ?) AND (expires IS NULL OR expires > ?)
-- create: create a claim
INSERT INTO claim(id, queue, ttl, renewed, ends, earliest_expiry, holder) VALUES(?, ?, ?, ?, ?, ?, ?)
-- extend_expiry: let a message expire later
UPDATE message SET expires = ?, ttl = ? WHERE id = ?
