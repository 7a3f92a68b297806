-- Attempts whose answer must be found out, for this process alone until the lease ends.
-- $1 most  $2 lease
-- Result: attempts with their orders, and whether payBy has passed.
WITH due AS (
  SELECT attempt_id FROM attempts
  WHERE state IN ('CONFIRMING', 'UNKNOWN') AND look_at <= clock_timestamp()
    AND (looking_until IS NULL OR looking_until <= clock_timestamp())
  ORDER BY look_at LIMIT $1
  FOR UPDATE SKIP LOCKED
)
UPDATE attempts a SET look_at = clock_timestamp() + $2, looking_until = clock_timestamp() + $2
FROM due, orders o
WHERE a.attempt_id = due.attempt_id AND o.order_id = a.order_id
RETURNING a.attempt_id, a.order_id, event, buyer, amount, currency, order_name, pay_by,
  vendor_order_id, payment_key, calls, idempotency_key, pay_by <= clock_timestamp() AS overdue
