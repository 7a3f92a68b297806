-- A buyer's tickets, newest first, with the name on them. $1 buyer  $2 most. Result: tickets and owner.
SELECT t.id, t.event, t.seat, t.order_id, t.state, t.issued_at, t.checked_in_at, o.name AS owner
FROM tickets t LEFT JOIN order_owners o USING (order_id)
WHERE t.buyer = $1 ORDER BY t.issued_at DESC, t.seat LIMIT $2
