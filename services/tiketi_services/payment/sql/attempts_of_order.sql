-- All attempts of an order, oldest first.
-- $1 order
SELECT attempt_id, vendor_order_id, state, code, created_at FROM attempts WHERE order_id = $1 ORDER BY created_at
