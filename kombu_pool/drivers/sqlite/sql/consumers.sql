-- set_lifetime: set the lifetime of a queue; keep its last use unless one is given
INSERT INTO lifetime(project, queue, after, touched) VALUES(?, ?, ?, ?)
ON CONFLICT DO UPDATE SET after = excluded.after, touched = coalesce(excluded.touched, touched)
-- reset_lifetime: set the lifetime of a queue, or none, and its last use
INSERT INTO lifetime(project, queue, after, touched) VALUES(?, ?, ?, ?)
ON CONFLICT DO UPDATE SET after = excluded.after, touched = excluded.touched
-- add_queue: add a queue without a lifetime, unless it exists
INSERT INTO lifetime(project, queue) VALUES(?, ?) ON CONFLICT DO NOTHING
-- touch: set the last use of a queue whose lifetime has begun
UPDATE lifetime SET touched = ?1
WHERE project = ?2 AND queue = ?3
    AND (touched IS NOT NULL OR EXISTS (SELECT 1 FROM holder WHERE holder.project = ?2 AND holder.queue = ?3))
-- used: set the last use of a queue, unless a later one is known
UPDATE lifetime SET touched = max(coalesce(touched, ?1), ?1) WHERE project = ?2 AND queue = ?3
-- refresh: compute when a queue expires
UPDATE lifetime SET expires = after + nullif(max(
    coalesce(touched, 0),
    coalesce((SELECT max(ends) FROM holder WHERE holder.project = ?1 AND holder.queue = ?2), 0)
), 0)
WHERE project = ?1 AND queue = ?2
-- add_holder: add a holder of a queue, or renew it
INSERT INTO holder(name, project, queue, ends, consuming) VALUES(?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET ends = excluded.ends, consuming = excluded.consuming
-- renew: renew a holder; returns its queues
UPDATE holder SET ends = ? WHERE name = ? RETURNING project, queue
-- remove_holder: remove a holder; returns its queues and the end of its ttl
DELETE FROM holder WHERE name = ? RETURNING project, queue, ends
-- live: the live holders within a range of names
SELECT DISTINCT name FROM holder WHERE name >= ? AND name < ? AND ends > ?
-- stale_holders: some holders that died before a time
SELECT DISTINCT name FROM holder WHERE ends <= ? LIMIT ?
-- count: count the live consumers of a queue
SELECT count(*) FROM holder WHERE project = ? AND queue = ? AND ends > ? AND consuming
-- consumers: the live consumers of a queue
SELECT name FROM holder WHERE project = ? AND queue = ? AND ends > ? AND consuming
-- expired: the expired queues
SELECT project, queue FROM lifetime WHERE expires <= ? ORDER BY expires LIMIT ?
-- is_expired: whether a queue has expired
SELECT 1 FROM lifetime WHERE project = ? AND queue = ? AND expires <= ?
-- remove_lifetime: remove the lifetime of a queue
DELETE FROM lifetime WHERE project = ? AND queue = ?
-- remove_holders: remove the holders of a queue
DELETE FROM holder WHERE project = ? AND queue = ?
