-- read: the boot of the last process that opened the file
SELECT boot FROM store
-- enter: store another boot
UPDATE store SET boot = ?
-- end_claims: end all claims; their messages are freed as those of any ended claim
UPDATE claim SET ends = 0
-- end_reservations: end all reservations of dead messages
UPDATE dead SET reserved_until = 0 WHERE reserved_until > 0
-- restart_lifetimes: let the lifetimes that count begin at a time
UPDATE lifetime SET touched = ?1, expires = after + ?1
WHERE touched IS NOT NULL
    OR EXISTS (SELECT 1 FROM holder WHERE holder.project = lifetime.project AND holder.queue = lifetime.queue)
-- remove_holders: remove all holders
DELETE FROM holder
