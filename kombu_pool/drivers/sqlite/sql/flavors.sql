-- page: flavors after a marker, by name
SELECT name, capabilities FROM flavor WHERE project = ? AND name >= ? AND name IS NOT ? ORDER BY name LIMIT ?
-- one: a flavor
SELECT name, capabilities FROM flavor WHERE project = ? AND name = ?
-- put: add a flavor, or replace the flavor of that name
INSERT INTO flavor(project, name, capabilities) VALUES(?, ?, ?)
ON CONFLICT(project, name) DO UPDATE SET capabilities = excluded.capabilities
-- update: replace a flavor's capabilities
UPDATE flavor SET capabilities = ? WHERE project = ? AND name = ?
-- delete: remove a flavor
DELETE FROM flavor WHERE project = ? AND name = ?
-- drop_all: remove all flavors
DELETE FROM flavor
