-- The lines are about to be opened: from here on their marks may be used.
-- $1 event  $2 epoch
-- Result: one row, unless the event was deleted or somebody else took over
UPDATE events SET is_fresh = false WHERE event = $1 AND epoch = $2 AND gone_at IS NULL RETURNING event
