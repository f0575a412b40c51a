-- set_lifetime: let a queue be abandoned after a while, keeping when it was used
INSERT INTO lifetime(project, queue, after, touched) VALUES(?, ?, ?, ?)
ON CONFLICT DO UPDATE SET after = excluded.after, touched = coalesce(excluded.touched, touched)
-- know: note that a queue has holders
INSERT INTO lifetime(project, queue) VALUES(?, ?) ON CONFLICT DO NOTHING
-- touch: note a use of a queue whose seconds count already
UPDATE lifetime SET touched = ?1
WHERE project = ?2 AND queue = ?3
    AND (touched IS NOT NULL OR EXISTS (SELECT 1 FROM holder WHERE holder.project = ?2 AND holder.queue = ?3))
-- used: note a use of a queue
UPDATE lifetime SET touched = max(coalesce(touched, ?1), ?1) WHERE project = ?2 AND queue = ?3
-- refresh: find out when a queue is abandoned
UPDATE lifetime SET due = after + nullif(max(
    coalesce(touched, 0),
    coalesce((SELECT max(ends) FROM holder WHERE holder.project = ?1 AND holder.queue = ?2), 0)
), 0)
WHERE project = ?1 AND queue = ?2
-- attach: let a holder of a queue live
INSERT INTO holder(name, project, queue, ends, consuming) VALUES(?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET ends = excluded.ends, consuming = excluded.consuming
-- renew: let a holder live on; returns the queues that it holds
UPDATE holder SET ends = ? WHERE name = ? RETURNING project, queue
-- detach: remove a holder; returns the queues that it held, and when it died or would have
DELETE FROM holder WHERE name = ? RETURNING project, queue, ends
-- long_dead: holders that nobody will renew any more
SELECT DISTINCT name FROM holder WHERE ends <= ? LIMIT ?
-- count: count the living consumers of a queue
SELECT count(*) FROM holder WHERE project = ? AND queue = ? AND ends > ? AND consuming
-- abandoned: queues that nobody has held for longer than their lifetime
SELECT project, queue FROM lifetime WHERE due <= ? ORDER BY due LIMIT ?
-- forget_lifetime: forget a queue's lifetime
DELETE FROM lifetime WHERE project = ? AND queue = ?
-- forget_holders: forget a queue's holders
DELETE FROM holder WHERE project = ? AND queue = ?
