-- Take the order's lock; what is read after it is what counts.
-- $1 order
SELECT order_id FROM orders WHERE order_id = $1 FOR UPDATE
