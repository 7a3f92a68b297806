-- The buyer gives an open order up: payment is asked to close it at once. $1 order  $2 buyer.
-- Result: the order as it is then; no row if it is not this buyer's or not OPEN.
UPDATE orders
SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), close_at = least(close_at, clock_timestamp())
WHERE id = $1 AND buyer = $2 AND state = 'OPEN'
RETURNING *
