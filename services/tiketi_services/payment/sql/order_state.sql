-- State of an order.
-- $1 order
SELECT state FROM orders WHERE order_id = $1
