-- free: how many free messages were examined, and how many of them count
SELECT count(*), total(expires IS NULL OR expires > :wall)
FROM (SELECT expires FROM free WHERE queue = :queue LIMIT :limit)
-- delayed: how many delayed messages were examined; those of them that are delayed and that are free; the oldest free one
SELECT count(*), total(due > :wall), total(due <= :wall), min(CASE WHEN due <= :wall THEN id END)
FROM (SELECT id, due, expires FROM delayed WHERE queue = :queue LIMIT :limit)
WHERE expires IS NULL OR expires > :wall
-- claimed: how many claimed messages were examined; those of them that are claimed and that are free; the oldest free one
SELECT count(*), total(ends > :elapsed), total(is_free), min(CASE WHEN is_free THEN id END)
FROM (
    SELECT claimed.id, claim.ends, claim.ends <= :elapsed AND EXISTS (
        SELECT 1 FROM message AS m WHERE m.id = claimed.id AND (m.expires IS NULL OR m.expires > :wall)
    ) AS is_free
    FROM claim CROSS JOIN claimed ON claimed.claim = claim.id WHERE claim.queue = :queue LIMIT :limit
)
-- oldest: the time of the first post among the first free messages of each rank
WITH RECURSIVE ranks(rank) AS (
    SELECT min(rank) FROM free WHERE queue = :queue
    UNION ALL
    SELECT (SELECT min(free.rank) FROM free WHERE free.queue = :queue AND free.rank > ranks.rank)
    FROM ranks WHERE ranks.rank IS NOT NULL
)
SELECT min((SELECT created FROM message WHERE message.id = (
    SELECT id FROM (SELECT id, expires FROM free WHERE queue = :queue AND free.rank = ranks.rank ORDER BY id LIMIT 1000)
    WHERE expires IS NULL OR expires > :wall LIMIT 1
))) FROM ranks WHERE ranks.rank IS NOT NULL
-- created: the time at which a message was stored
SELECT created FROM message WHERE id = ?
-- held: messages under the live claims of a queue, claim by claim
SELECT claim.id, claim.ttl, claim.renewed, claim.holder, claimed.id
FROM claim CROSS JOIN claimed ON claimed.claim = claim.id
WHERE claim.queue = :queue AND claim.ends > :elapsed ORDER BY claim.ends, claim.id LIMIT :limit
-- held_count: how many messages a claim holds
SELECT count(*) FROM claimed WHERE claim = ?
