-- find: whether a queue exists and has not expired, and its metadata
SELECT 0, metadata FROM control_queue
WHERE project = ?1 AND name = ?2
    AND NOT EXISTS (SELECT 1 FROM lifetime WHERE lifetime.project = ?1 AND lifetime.queue = ?2 AND expires <= ?3)
-- is_stored: a row if a queue exists, expired or not
SELECT 1 FROM control_queue WHERE project = ? AND name = ?
-- create: add a queue unless it exists
INSERT INTO control_queue(project, name, metadata) VALUES(?, ?, ?) ON CONFLICT DO NOTHING
-- set_metadata: replace the metadata of a queue that has not expired
UPDATE control_queue SET metadata = ?1
WHERE project = ?2 AND name = ?3
    AND NOT EXISTS (SELECT 1 FROM lifetime WHERE lifetime.project = ?2 AND lifetime.queue = ?3 AND expires <= ?4)
-- delete: remove a queue
DELETE FROM control_queue WHERE project = ? AND name = ?
-- page: queues after a marker, by name
SELECT name, metadata FROM control_queue
WHERE project = :project AND name >= :start AND name IS NOT :marker AND instr(name, :part) > 0
ORDER BY name LIMIT :limit
-- total: count the queues of a project
SELECT count(*) FROM control_queue WHERE project = ?
