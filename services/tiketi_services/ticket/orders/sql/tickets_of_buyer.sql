-- All tickets of a buyer, newest first. $1 buyer  $2 most. Result: tickets.
SELECT id, event, seat, order_id, state, issued_at FROM tickets WHERE buyer = $1 ORDER BY issued_at DESC, seat LIMIT $2
