-- The vendor did not charge, for ever. A payment key that is another's is free for it again.
-- $1 attempt  $2 code  $3 whether the payment key is another's
-- Result: one row if that was new.
UPDATE attempts SET
  state = 'REFUSED', ended_at = clock_timestamp(), code = $2, payment_key = CASE WHEN $3 THEN NULL ELSE payment_key END
WHERE attempt_id = $1 AND state IN ('CONFIRMING', 'UNKNOWN')
RETURNING attempt_id
