-- Money that must go back, for this process alone until the lease ends.
-- $1 most  $2 lease
WITH due AS (
  SELECT cancellation_id FROM cancellations
  WHERE state = 'REQUESTED' AND try_at <= clock_timestamp()
  ORDER BY try_at LIMIT $1
  FOR UPDATE SKIP LOCKED
)
UPDATE cancellations c SET try_at = clock_timestamp() + $2
FROM due WHERE c.cancellation_id = due.cancellation_id
RETURNING c.cancellation_id, payment_key, reason, calls
