-- find: the id and the metadata of a queue
SELECT id, metadata FROM queue WHERE project = ? AND name = ?
-- create: add a queue unless it is there
INSERT INTO queue(project, name, metadata) VALUES(?, ?, ?) ON CONFLICT DO NOTHING
-- set_metadata: replace a queue's metadata, which may say that it buries what expires
UPDATE queue SET metadata = ?, first_death = CASE WHEN ? THEN (
    SELECT min(expires) FROM message WHERE message.queue = queue.id AND expires IS NOT NULL
) END
WHERE project = ? AND name = ?
-- forget: take a queue's name away; what was in it is nobody's now
UPDATE queue SET project = NULL, name = NULL, first_death = NULL WHERE project = ? AND name = ? RETURNING id
-- page: queues after a marker, by name
SELECT name, metadata FROM queue
WHERE project = :project AND name >= :start AND name IS NOT :marker AND instr(name, :part) > 0
ORDER BY name LIMIT :limit
-- total: count the queues of a project
SELECT count(*) FROM queue WHERE project = ?
-- free_stats: count free messages and find the first and the last in time
SELECT count(*), min(id), max(id) FROM free WHERE queue = ? AND (expires IS NULL OR expires > ?)
-- delayed_stats: the same of delayed messages
SELECT count(*), min(id), max(id) FROM delayed WHERE queue = ? AND (expires IS NULL OR expires > ?)
-- claimed_stats: the same of claimed messages
SELECT count(*), min(held.id), max(held.id)
FROM claim CROSS JOIN claimed AS held ON held.claim = claim.id WHERE claim.queue = ? AND claim.ends > ?
-- created: when a message was stored
SELECT created FROM message WHERE id = ?
