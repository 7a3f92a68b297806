-- The sheet that is served, or was until the event was deleted.
-- $1 event
-- Result: version, content, until (now, or when it was deleted)
SELECT version, content, coalesce(gone_at, clock_timestamp()) AS until
FROM sale_sheets JOIN events USING (event) WHERE event = $1
ORDER BY version DESC LIMIT 1
