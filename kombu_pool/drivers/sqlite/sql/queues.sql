-- find: the id, the metadata and the incarnation of a queue; whether it is paused
SELECT id, metadata, incarnation, paused FROM queue WHERE project = ? AND name = ?
-- create: add a queue unless it exists
INSERT INTO queue(project, name, metadata, incarnation) VALUES(?, ?, ?, ?) ON CONFLICT DO NOTHING
-- set_metadata: replace a queue's metadata; the earliest expiry is stored if expired messages are dead-lettered
UPDATE queue SET metadata = ?, earliest_expiry = CASE WHEN ? THEN (
    SELECT min(expires) FROM message WHERE message.queue = queue.id AND expires IS NOT NULL
) END
WHERE project = ? AND name = ?
-- set_incarnation: let a queue bear another incarnation
UPDATE queue SET incarnation = ? WHERE project = ? AND name = ?
-- set_paused: pause or resume a queue
UPDATE queue SET paused = ? WHERE project = ? AND name = ?
-- delete: remove a queue's name, so that the collector removes its rows
UPDATE queue SET project = NULL, name = NULL, earliest_expiry = NULL WHERE project = ? AND name = ? RETURNING id
-- has_subscription: a row if a queue has a subscription
SELECT 1 FROM subscription WHERE project = ? AND queue = ? LIMIT 1
-- delete_subscriptions: remove the subscriptions of a queue
DELETE FROM subscription WHERE project = ? AND queue = ?
-- page: queues after a marker, by name
SELECT name, metadata FROM queue
WHERE project = :project AND name >= :start AND name IS NOT :marker AND instr(name, :part) > 0
ORDER BY name LIMIT :limit
-- total: count the queues of a project
SELECT count(*) FROM queue WHERE project = ?
-- free_stats: count the free messages; their lowest and highest id
SELECT count(*), min(id), max(id) FROM free WHERE queue = ? AND (expires IS NULL OR expires > ?)
-- delayed_stats: count the delayed messages; their lowest and highest id
SELECT count(*), min(id), max(id) FROM delayed WHERE queue = ? AND (expires IS NULL OR expires > ?)
-- claimed_stats: count the claimed messages; their lowest and highest id
SELECT count(*), min(claimed.id), max(claimed.id)
FROM claim CROSS JOIN claimed ON claimed.claim = claim.id WHERE claim.queue = ? AND claim.ends > ?
-- created: the time at which a message was stored
SELECT created FROM message WHERE id = ?
