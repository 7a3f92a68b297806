-- The vendor has given it back; with nothing left there the order is refunded.
-- $1 refund  $2 balance. Result: the order, if that was new.
WITH done AS (
  UPDATE refunds SET
    state = 'DONE', balance = $2::bigint, done_at = clock_timestamp(), code = NULL, is_refused = false
  WHERE refund_id = $1 AND state <> 'DONE' RETURNING refund_id, order_id, amount
), refunded AS (
  UPDATE orders o SET state = 'REFUNDED' FROM done WHERE o.order_id = done.order_id AND o.state = 'PAID' AND $2::bigint = 0
)
SELECT done.refund_id, done.amount, o.order_id, o.event, o.buyer, o.currency FROM done JOIN orders o USING (order_id)
