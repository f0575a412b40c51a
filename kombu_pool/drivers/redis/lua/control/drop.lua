-- control/drop: drop a whole table in one step; Redis frees its memory in the background.
-- KEYS  those of the table
-- Returns nothing.
redis.call('UNLINK', unpack(KEYS))
