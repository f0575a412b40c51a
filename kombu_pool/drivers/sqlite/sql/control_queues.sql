-- find: whether a queue exists, and its metadata
SELECT 0, metadata FROM control_queue WHERE project = ? AND name = ?
-- create: add a queue unless it exists
INSERT INTO control_queue(project, name, metadata) VALUES(?, ?, ?) ON CONFLICT DO NOTHING
-- set_metadata: replace a queue's metadata
UPDATE control_queue SET metadata = ? WHERE project = ? AND name = ?
-- delete: remove a queue
DELETE FROM control_queue WHERE project = ? AND name = ?
-- page: queues after a marker, by name
SELECT name, metadata FROM control_queue
WHERE project = :project AND name >= :start AND name IS NOT :marker AND instr(name, :part) > 0
ORDER BY name LIMIT :limit
-- total: count the queues of a project
SELECT count(*) FROM control_queue WHERE project = ?
