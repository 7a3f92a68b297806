-- Write down a refund of a paid order, if no more goes back than was paid. Only with the order's lock held.
-- $1 refund  $2 order  $3 amount  $4 currency  $5 reason
-- Result: one row if it is known now, whether or not it was before.
WITH added AS (
  INSERT INTO refunds (refund_id, order_id, payment_key, amount, reason)
  SELECT $1, order_id, payment_key, $3::bigint, $5 FROM outcomes
  WHERE order_id = $2 AND currency = $4
    AND amount - $3::bigint >= (
      SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r WHERE r.order_id = $2 AND r.refund_id <> $1)
  ON CONFLICT (refund_id) DO NOTHING
  RETURNING refund_id
)
SELECT refund_id FROM added
UNION ALL
SELECT refund_id FROM refunds WHERE refund_id = $1 AND order_id = $2 AND amount = $3::bigint
