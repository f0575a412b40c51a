-- create: add a subscription unless its subscriber has a live one
INSERT INTO subscription(project, queue, subscriber, ttl, created, expires, options, confirmed)
VALUES(?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING RETURNING id
-- remove_expired: remove a subscriber's expired subscription
DELETE FROM subscription WHERE project = ? AND queue = ? AND subscriber = ? AND expires <= ?
-- one: a live subscription
SELECT id, subscriber, ttl, created, options, confirmed FROM subscription
WHERE project = ? AND queue = ? AND id = ? AND (expires IS NULL OR expires > ?)
-- of_subscriber: the live subscription of a subscriber
SELECT id, subscriber, ttl, created, options, confirmed FROM subscription
WHERE project = ? AND queue = ? AND subscriber = ? AND (expires IS NULL OR expires > ?)
-- page: live subscriptions after a marker
SELECT id, subscriber, ttl, created, options, confirmed FROM subscription
WHERE project = ? AND queue = ? AND id > ? AND (expires IS NULL OR expires > ?) ORDER BY id LIMIT ?
-- set_subscriber: replace the subscriber
UPDATE subscription SET subscriber = ? WHERE id = ?
-- set_ttl: replace the ttl and the expiry
UPDATE subscription SET ttl = ?, expires = ? WHERE id = ?
-- set_options: replace the options
UPDATE subscription SET options = ? WHERE id = ?
-- confirm: mark a subscription as confirmed or not
UPDATE subscription SET confirmed = ? WHERE id = ?
-- delete: remove a subscription
DELETE FROM subscription WHERE project = ? AND queue = ? AND id = ?
