-- ready: whether a queue has anything to claim, and when a delay or a claim ends next
SELECT EXISTS (SELECT 1 FROM free WHERE free.queue = queue.id AND (expires IS NULL OR expires > ?1))
    OR EXISTS (SELECT 1 FROM delayed WHERE delayed.queue = queue.id AND due <= ?1 AND (expires IS NULL OR expires > ?1))
    OR EXISTS (SELECT 1 FROM claim WHERE claim.queue = queue.id AND ends <= ?1),
    (SELECT min(due) FROM delayed WHERE delayed.queue = queue.id AND due > ?1),
    (SELECT min(ends) FROM claim WHERE claim.queue = queue.id AND ends > ?1)
FROM queue WHERE project = ?2 AND name = ?3
