-- page: pools after a marker, by name
SELECT name, uri, weight, flavor, options FROM pool WHERE name >= ? AND name IS NOT ? ORDER BY name LIMIT ?
-- one: a pool
SELECT name, uri, weight, flavor, options FROM pool WHERE name = ?
-- of_flavor: the pools of a flavor, or those without a flavor
SELECT name, uri, weight, flavor, options FROM pool WHERE flavor IS ? ORDER BY name
-- put: add a pool, or replace the pool of that name
INSERT INTO pool(name, uri, weight, flavor, options) VALUES(?, ?, ?, ?, ?)
ON CONFLICT(name) DO UPDATE
SET uri = excluded.uri, weight = excluded.weight, flavor = excluded.flavor, options = excluded.options
-- other_with_uri: another pool with that URI
SELECT name FROM pool WHERE uri = ? AND name != ?
-- required_capabilities: the capabilities of the flavors of that name, in all projects
SELECT capabilities FROM flavor WHERE name = ?
-- queues: count the queues of a pool
SELECT count(*) FROM catalogue WHERE pool = ?
-- delete: remove a pool
DELETE FROM pool WHERE name = ?
-- drop_all: remove all pools
DELETE FROM pool
