-- Bind a payment key and its idempotency key to a READY attempt, before the vendor is called. The order's row is
-- locked first, so that this and a close of the same order see each other; at most one attempt of an order gets
-- through (unique index).
-- $1 vendor order id  $2 buyer  $3 payment key  $4 amount  $5 idempotency key  $6 time until the resolver takes over
-- Result: the attempt with its order, or none.
WITH payable AS (
  SELECT orders.* FROM orders JOIN attempts USING (order_id)
  WHERE vendor_order_id = $1 AND buyer = $2 AND orders.state = 'OPEN' AND amount = $4 AND pay_by > clock_timestamp()
  FOR UPDATE OF orders
)
UPDATE attempts SET
  state = 'CONFIRMING', payment_key = $3, calls = 1, idempotency_key = $5,
  confirming_at = clock_timestamp(), look_at = clock_timestamp() + $6
FROM payable
WHERE attempts.order_id = payable.order_id AND vendor_order_id = $1 AND attempts.state = 'READY'
RETURNING attempt_id, attempts.order_id, event, buyer, amount, currency, order_name, pay_by,
  vendor_order_id, payment_key, calls, idempotency_key
