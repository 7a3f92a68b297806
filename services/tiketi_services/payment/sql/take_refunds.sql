-- Refunds that are due, for this process alone until the lease ends; one of a payment while another is being made waits.
-- $1 most  $2 lease
WITH due AS (
  SELECT refund_id FROM refunds r
  WHERE state <> 'DONE' AND try_at <= clock_timestamp()
    AND NOT EXISTS (
      SELECT FROM refunds other
      WHERE other.payment_key = r.payment_key AND other.state = 'CALLED' AND other.refund_id <> r.refund_id)
  ORDER BY try_at LIMIT $1
  FOR UPDATE SKIP LOCKED
)
UPDATE refunds r SET try_at = clock_timestamp() + $2
FROM due WHERE r.refund_id = due.refund_id
RETURNING r.refund_id, order_id, payment_key, amount, reason, state, locked_balance, calls, tries
