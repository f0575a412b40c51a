-- all: the entries of a project, by queue
SELECT queue, pool FROM catalogue WHERE project = ? ORDER BY queue
-- one: the pool of a queue
SELECT pool FROM catalogue WHERE project = ? AND queue = ?
-- pool: whether there is a pool
SELECT 1 FROM pool WHERE name = ?
-- put: assign a queue, whatever it was assigned to
INSERT INTO catalogue(project, queue, pool) VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET pool = excluded.pool
-- delete: remove an entry
DELETE FROM catalogue WHERE project = ? AND queue = ?
-- drop_all: remove all entries
DELETE FROM catalogue
