-- Money was taken under an order id of ours by a payment that its attempt is not bound to: it goes back in full.
-- $1 attempt  $2 cancellation  $3 payment key  $4 reason
-- Result: one row if that was new.
INSERT INTO cancellations (cancellation_id, attempt_id, payment_key, reason)
SELECT $2, attempt_id, $3, $4 FROM attempts
WHERE attempt_id = $1 AND payment_key IS DISTINCT FROM $3
  AND NOT EXISTS (SELECT FROM attempts other WHERE other.payment_key = $3)
ON CONFLICT (payment_key) DO NOTHING
RETURNING cancellation_id
