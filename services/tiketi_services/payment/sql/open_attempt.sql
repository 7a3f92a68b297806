-- A new attempt, if its order takes payments: open, in time, nothing under way, not tried too often.
-- $1 attempt  $2 order  $3 vendor order id  $4 most attempts of one order
-- Result: one row, or none.
WITH payable AS (
  SELECT order_id FROM orders
  WHERE order_id = $2 AND state = 'OPEN' AND pay_by > clock_timestamp()
  FOR UPDATE
)
INSERT INTO attempts (attempt_id, order_id, vendor_order_id)
SELECT $1, order_id, $3 FROM payable
WHERE NOT EXISTS (SELECT FROM attempts WHERE order_id = $2 AND state IN ('CONFIRMING', 'UNKNOWN'))
  AND (SELECT count(*) FROM attempts WHERE order_id = $2) < $4
RETURNING attempt_id
