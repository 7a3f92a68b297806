-- An attempt that has a payment key, with its order. NULL matches nothing.
-- $1 attempt  $2 vendor order id
-- Result: one row, or none.
SELECT a.attempt_id, a.order_id, event, buyer, amount, currency, order_name, pay_by,
  vendor_order_id, payment_key, calls, idempotency_key, a.state
FROM attempts a JOIN orders o USING (order_id)
WHERE (a.attempt_id = $1 OR vendor_order_id = $2) AND payment_key IS NOT NULL
