-- Tickets of one order. $1 order. Result: tickets by seat.
SELECT id, event, seat, order_id, state, issued_at FROM tickets WHERE order_id = $1 ORDER BY seat
