-- Attempts that nobody knows the end of for too long and that nobody was told of within the last hour.
-- $1 how long is too long
UPDATE attempts SET alarmed_at = clock_timestamp()
WHERE state IN ('CONFIRMING', 'UNKNOWN') AND confirming_at < clock_timestamp() - $1::interval
  AND (alarmed_at IS NULL OR alarmed_at < clock_timestamp() - interval '1 hour')
RETURNING attempt_id, order_id, payment_key, code, confirming_at
