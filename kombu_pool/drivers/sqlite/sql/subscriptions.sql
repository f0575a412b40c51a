-- queue: the id of a queue
SELECT id FROM queue WHERE project = ? AND name = ?
-- create: add a subscription unless its subscriber has one that lives
INSERT INTO subscription(queue, subscriber, ttl, created, expires, options, confirmed) VALUES(?, ?, ?, ?, ?, ?, 0)
ON CONFLICT DO NOTHING RETURNING id
-- clear: remove a subscriber's expired subscription
DELETE FROM subscription WHERE queue = ? AND subscriber = ? AND expires <= ?
-- one: a living subscription
SELECT id, subscriber, ttl, created, options, confirmed FROM subscription WHERE id = ? AND queue = ? AND (expires IS NULL OR expires > ?)
-- of_subscriber: the living subscription of a subscriber
SELECT id, subscriber, ttl, created, options, confirmed FROM subscription
WHERE queue = ? AND subscriber = ? AND (expires IS NULL OR expires > ?)
-- page: living subscriptions after a marker
SELECT id, subscriber, ttl, created, options, confirmed FROM subscription
WHERE queue = ? AND id > ? AND (expires IS NULL OR expires > ?) ORDER BY id LIMIT ?
-- set_subscriber: let it be another's
UPDATE subscription SET subscriber = ? WHERE id = ?
-- set_ttl: let it live anew
UPDATE subscription SET ttl = ?, expires = ? WHERE id = ?
-- set_options: replace its options
UPDATE subscription SET options = ? WHERE id = ?
-- confirm: mark it as confirmed or not
UPDATE subscription SET confirmed = ? WHERE id = ?
-- delete: remove a subscription
DELETE FROM subscription WHERE id = ? AND queue = ?
