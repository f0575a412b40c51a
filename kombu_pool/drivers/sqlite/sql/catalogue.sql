-- all: the entries of a project, by queue
SELECT queue, pool FROM catalogue WHERE project = ? AND state <> 'deleting' ORDER BY queue
-- find: the assignment of a queue, and when the queue expires
SELECT pool, incarnation, state, move, expires
FROM catalogue LEFT JOIN lifetime USING(project, queue) WHERE catalogue.project = ? AND catalogue.queue = ?
-- assign: assign a queue, whatever its present assignment
INSERT INTO catalogue(project, queue, pool, incarnation, state) VALUES(?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET pool = excluded.pool, incarnation = excluded.incarnation, state = excluded.state, move = NULL
-- replace: replace the assignment of a queue
UPDATE catalogue SET pool = ?, incarnation = ?, state = ?, move = ? WHERE project = ? AND queue = ?
-- activate: make an assignment active if a process creates its queue
UPDATE catalogue SET state = 'active' WHERE project = ? AND queue = ? AND incarnation = ? AND state = 'creating'
-- begin_deletion: mark the assignment of a queue as in deletion; only one incarnation, unless that is NULL
UPDATE catalogue SET state = 'deleting' WHERE project = ? AND queue = ? AND incarnation = coalesce(?, incarnation)
-- deletions: some assignments in deletion
SELECT project, queue, pool, incarnation, state, move FROM catalogue WHERE state = 'deleting' LIMIT ?
-- moves: some assignments with a move
SELECT project, queue, pool, incarnation, state, move FROM catalogue WHERE move IS NOT NULL LIMIT ?
-- end_deletion: remove an assignment in deletion
DELETE FROM catalogue WHERE project = ? AND queue = ? AND incarnation = ? AND state = 'deleting'
-- delete: remove an entry
DELETE FROM catalogue WHERE project = ? AND queue = ?
-- drop_all: remove all entries
DELETE FROM catalogue
