-- found: messages as they are read, with queue, its name, metadata, due time, expiry, live claim, ended claim; a condition follows
SELECT m.id, m.rank, m.created, m.ttl, m.dead_letter, m.record, coalesce(claimed.claim, free.claim),
    coalesce(claimed.claim_count, free.claim_count, delayed.claim_count, 0), m.key,
    queue.id, queue.name, queue.metadata, delayed.due, m.expires, claim.id, claimed.claim
FROM message AS m
CROSS JOIN queue ON queue.id = m.queue
LEFT JOIN claimed ON claimed.id = m.id
LEFT JOIN claim ON claim.id = claimed.claim AND claim.ends > :elapsed
LEFT JOIN free ON free.queue = m.queue AND free.rank = m.rank AND free.id = m.id
LEFT JOIN delayed ON delayed.queue = m.queue AND delayed.due = m.due AND delayed.id = m.id
WHERE (m.expires IS NULL OR m.expires > :wall OR claim.id IS NOT NULL) AND
-- by_key: the messages with a key in the queues of a project, or in one of them
m.key = :key AND queue.project = :project AND (:queue IS NULL OR queue.name = :queue) ORDER BY queue.name, m.rank, m.id
-- any_by_key: a message with a key in the queues of a project, or in one of them, expired or not
SELECT 1 FROM message AS m CROSS JOIN queue ON queue.id = m.queue
WHERE m.key = :key AND queue.project = :project AND (:queue IS NULL OR queue.name = :queue) LIMIT 1
-- by_unique_id: the message that holds an id in a queue
m.queue = :queue AND m.unique_id = :name AND (claim.id IS NULL OR NOT m.unique_until_claimed) ORDER BY m.id LIMIT 1
-- aside_by_unique_id: the message that holds an id in a queue and is put aside, and its key
SELECT id, key FROM aside WHERE queue = ? AND unique_id = ? LIMIT 1
-- by_id: a message of a queue
m.queue = :queue AND m.id = :id
-- held: the message that holds an id in a queue for a time, its key, and the end of that time
SELECT message, key, until FROM unique_id WHERE queue = ? AND name = ? AND until > ?
-- hold: let a message hold an id in a queue for a time
INSERT OR REPLACE INTO unique_id(queue, name, message, key, until) VALUES(?, ?, ?, ?, ?)
-- free_ids: let the messages that hold an id in a queue hold it no more
UPDATE message SET unique_id = NULL WHERE queue = :queue AND unique_id = :name
-- free_id: let a message hold no id any more
UPDATE message SET unique_id = NULL WHERE id = ?
-- extend: hold an id for longer
UPDATE unique_id SET until = max(until, ?) WHERE queue = ? AND name = ?
-- any_over: an id that is no longer held
SELECT 1 FROM unique_id WHERE until <= ? LIMIT 1
-- over: remove some ids that are no longer held
DELETE FROM unique_id WHERE (queue, name) IN (SELECT queue, name FROM unique_id WHERE until <= ? LIMIT ?)
-- of_queue: remove the ids that are held in a queue
DELETE FROM unique_id WHERE queue = ?
-- change: change the priority, the due time and the expiry of a message
UPDATE message SET rank = ?, due = ?, expires = ?, ttl = ? WHERE id = ?
-- free: make a message free that may have been claimed
INSERT INTO free(queue, rank, id, expires, claim_count, claim) VALUES(?, ?, ?, ?, ?, ?)
-- delay: make a message delayed that may have been claimed
INSERT INTO delayed(queue, due, id, rank, expires, claim_count) VALUES(?, ?, ?, ?, ?, ?)
