-- Attempts that a webhook asks to look at, for this process alone until the lease ends.
-- $1 most  $2 lease
-- Result: attempts with their orders, and whether the buyer's own call has had no answer.
WITH due AS (
  SELECT attempt_id, state FROM attempts
  WHERE state IN ('CONFIRMING', 'UNKNOWN') AND hinted_at <= clock_timestamp()
    AND (looking_until IS NULL OR looking_until <= clock_timestamp())
  ORDER BY hinted_at LIMIT $1
  FOR UPDATE SKIP LOCKED
)
UPDATE attempts a SET
  hinted_at = NULL, hinted_looks = hinted_looks + 1, looking_until = clock_timestamp() + $2
FROM due, orders o
WHERE a.attempt_id = due.attempt_id AND o.order_id = a.order_id
RETURNING a.attempt_id, a.order_id, event, buyer, amount, currency, order_name, pay_by,
  vendor_order_id, payment_key, calls, idempotency_key, due.state = 'UNKNOWN' AS answer_lost
