-- control/drop: forget a whole table, in one step; Redis gives its memory back in the background.
-- KEYS  those of the table
-- Returns nothing.
redis.call('UNLINK', unpack(KEYS))
