-- The vendor charged, and the order cannot take it: write down that it goes back, once.
-- $1 attempt  $2 cancellation  $3 reason
-- Result: one row if that was new.
WITH done AS (
  UPDATE attempts SET state = 'DONE', ended_at = clock_timestamp(), code = $3
  WHERE attempt_id = $1 AND state IN ('CONFIRMING', 'UNKNOWN', 'REFUSED')
  RETURNING attempt_id, payment_key
)
INSERT INTO cancellations (cancellation_id, attempt_id, payment_key, reason)
SELECT $2, attempt_id, payment_key, $3 FROM done
RETURNING cancellation_id
