-- all: the entries of a project, by queue
SELECT queue, pool FROM catalogue WHERE project = ? ORDER BY queue
-- one: the pool of a queue
SELECT pool FROM catalogue WHERE project = ? AND queue = ?
-- assign: assign a queue to a pool, whatever its present assignment
INSERT INTO catalogue(project, queue, pool) VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET pool = excluded.pool
-- delete: remove an entry
DELETE FROM catalogue WHERE project = ? AND queue = ?
-- drop_all: remove all entries
DELETE FROM catalogue
