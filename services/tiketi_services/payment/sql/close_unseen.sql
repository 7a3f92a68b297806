-- Close an order nobody has told us of.
-- $1 order
-- Result: one row if it was unknown.
INSERT INTO orders (order_id, state, closed_at) VALUES ($1, 'CLOSED', clock_timestamp())
ON CONFLICT DO NOTHING
RETURNING order_id
