-- find: whether there is a queue, and its metadata
SELECT 0, metadata FROM queue_record WHERE project = ? AND name = ?
-- create: add a queue unless it is there
INSERT INTO queue_record(project, name, metadata) VALUES(?, ?, ?) ON CONFLICT DO NOTHING
-- set_metadata: replace a queue's metadata
UPDATE queue_record SET metadata = ? WHERE project = ? AND name = ?
-- forget: remove a queue
DELETE FROM queue_record WHERE project = ? AND name = ?
-- page: queues after a marker, by name
SELECT name, metadata FROM queue_record
WHERE project = :project AND name >= :start AND name IS NOT :marker AND instr(name, :part) > 0
ORDER BY name LIMIT :limit
-- total: count the queues of a project
SELECT count(*) FROM queue_record WHERE project = ?
