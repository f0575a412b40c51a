-- read: the record of a queue
SELECT record FROM subscription WHERE project = ? AND queue = ?
-- delete: remove the record of a queue
DELETE FROM subscription WHERE project = ? AND queue = ?
-- store: add the record of a queue
INSERT INTO subscription(project, queue, record, expires) VALUES(?, ?, ?, ?)
-- expired: queues with an expired subscription
SELECT project, queue FROM subscription WHERE expires <= ? LIMIT ?
