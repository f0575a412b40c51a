-- length: count the free messages
SELECT count(*), 0 FROM free WHERE queue = ? AND (expires IS NULL OR expires > ?)
-- size: count the free messages and the bytes of their records
SELECT count(*), coalesce(sum(length(m.record)), 0) FROM free CROSS JOIN message AS m ON m.id = free.id
WHERE free.queue = ? AND (free.expires IS NULL OR free.expires > ?)
-- first_free: the first free messages, with the bytes of their records
SELECT free.id, free.rank, length(m.record) FROM free CROSS JOIN message AS m ON m.id = free.id
WHERE free.queue = ? AND (free.expires IS NULL OR free.expires > ?) ORDER BY free.rank, free.id LIMIT ?
