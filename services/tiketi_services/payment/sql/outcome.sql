-- The signed outcome of an order.
-- $1 order
-- Result: one value, or none while the order is not paid.
SELECT jws FROM outcomes WHERE order_id = $1
