-- read: all pools and flavors, and their version
SELECT version, record FROM registry
-- replace: replace them if their version is still that one
UPDATE registry SET version = version + 1, record = ? WHERE version = ?
-- queues: count the queues of a pool
SELECT count(*) FROM catalogue WHERE pool = ?
-- moves: the moves of queues that have another pool
SELECT move FROM catalogue WHERE move IS NOT NULL AND pool <> ?
