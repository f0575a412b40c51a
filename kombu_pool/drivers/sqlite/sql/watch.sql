-- ready: the id of a queue; whether it has messages to claim or to dead-letter; the next due time, expiry, end of a claim
SELECT queue.id, NOT paused AND (
        EXISTS (SELECT 1 FROM free WHERE free.queue = queue.id AND (expires IS NULL OR expires > ?1))
        OR EXISTS (
            SELECT 1 FROM delayed WHERE delayed.queue = queue.id AND due <= ?1 AND (expires IS NULL OR expires > ?1)
        )
        OR EXISTS (SELECT 1 FROM claim WHERE claim.queue = queue.id AND ends <= ?2)
    )
    OR earliest_expiry <= ?1 AND EXISTS (
        SELECT 1 FROM message WHERE message.queue = queue.id AND expires <= ?1
            AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.id = message.id)
    ),
    (SELECT min(due) FROM delayed WHERE delayed.queue = queue.id AND due > ?1),
    CASE WHEN earliest_expiry IS NOT NULL
        THEN (SELECT min(expires) FROM message WHERE message.queue = queue.id AND expires > ?1)
    END,
    (SELECT min(ends) FROM claim WHERE claim.queue = queue.id AND ends > ?2)
FROM queue WHERE project = ?3 AND name = ?4
