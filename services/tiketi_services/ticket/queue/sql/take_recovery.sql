-- Become the one who builds the event's memory, unless somebody else took it since the epoch was read.
-- $1 event  $2 epoch as read  $3 epoch that Redis still shows, or 0  $4 for how long
-- Result: the new epoch, or no row
UPDATE events SET epoch = greatest(epoch, $3) + 1, recovering_until = clock_timestamp() + $4
WHERE event = $1 AND gone_at IS NULL AND epoch = $2
RETURNING epoch
