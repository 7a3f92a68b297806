-- The event's object was deleted; everything sold stays.
-- $1 event
UPDATE events SET gone_at = clock_timestamp() WHERE event = $1 AND gone_at IS NULL
