-- next_generation: a generation that no exchange had before
UPDATE generation SET last = max(last + 1, ?) RETURNING last
-- create: add an exchange unless it exists
INSERT INTO exchange(project, name, type, durable, auto_delete, arguments, generation)
VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
-- one: an exchange
SELECT name, type, durable, auto_delete, arguments, generation FROM exchange WHERE project = ? AND name = ?
-- all: the exchanges of a project, by name
SELECT name, type, durable, auto_delete, arguments, generation FROM exchange WHERE project = ? ORDER BY name
-- delete: remove an exchange
DELETE FROM exchange WHERE project = ? AND name = ?
-- generation: the generation of an exchange
SELECT generation FROM exchange WHERE project = ? AND name = ?
-- set_generation: set the generation of an exchange
UPDATE exchange SET generation = ? WHERE project = ? AND name = ?
-- bind: add a binding unless it exists
INSERT INTO binding(project, exchange, destination_type, destination, routing_key, arguments)
VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
-- unbind: remove a binding
DELETE FROM binding
WHERE project = ? AND exchange = ? AND destination_type = ? AND destination = ? AND routing_key = ? AND arguments = ?
-- unbind_source: remove the bindings from an exchange
DELETE FROM binding WHERE project = ? AND exchange = ?
-- unbind_destination: remove the bindings to a destination
DELETE FROM binding WHERE project = ? AND destination_type = ? AND destination = ? RETURNING exchange, id
-- of_exchange: the bindings of an exchange, oldest first
SELECT exchange, destination, destination_type, routing_key, arguments FROM binding
WHERE project = ? AND exchange = ? ORDER BY id
-- of_project: the bindings of a project, oldest first
SELECT exchange, destination, destination_type, routing_key, arguments FROM binding WHERE project = ? ORDER BY id
