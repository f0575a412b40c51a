-- add: add to a counter of a queue, if its assignment has an incarnation and is not in deletion
INSERT INTO counter(project, queue, name, total)
SELECT project, queue, ?1, ?2 FROM catalogue
WHERE project = ?3 AND queue = ?4 AND incarnation = ?5 AND state <> 'deleting'
ON CONFLICT DO UPDATE SET total = total + excluded.total
-- all: the counters of all queues
SELECT project, queue, name, total FROM counter
-- of_queue: the counters of a queue
SELECT project, queue, name, total FROM counter WHERE project = ? AND queue = ?
-- delete: remove the counters of a queue
DELETE FROM counter WHERE project = ? AND queue = ?
-- drop_all: remove all counters
DELETE FROM counter
