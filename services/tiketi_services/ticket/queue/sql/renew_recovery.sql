-- Go on building.
-- $1 event  $2 epoch  $3 for how long
-- Result: one row, unless the event was deleted or somebody else took over
UPDATE events SET recovering_until = clock_timestamp() + $3
WHERE event = $1 AND epoch = $2 AND gone_at IS NULL
RETURNING event
