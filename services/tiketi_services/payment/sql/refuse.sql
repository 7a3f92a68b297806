-- The vendor did not charge, for ever.
-- $1 attempt  $2 code
-- Result: one row if that was new.
UPDATE attempts SET state = 'REFUSED', ended_at = clock_timestamp(), code = $2
WHERE attempt_id = $1 AND state IN ('CONFIRMING', 'UNKNOWN')
RETURNING attempt_id
