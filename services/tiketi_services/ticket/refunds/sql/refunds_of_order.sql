-- What was given back of an order, oldest first. $1 order.
SELECT * FROM refunds WHERE order_id = $1 ORDER BY requested_at, id
