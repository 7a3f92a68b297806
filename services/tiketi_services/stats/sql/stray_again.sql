-- In ticket's database: of these seats, those set aside for an order that does not have them. $1 events  $2 their seats
-- Result: event, seat, order_id.
SELECT s.event, s.seat, s.order_id
FROM unnest($1::text[], $2::text[]) AS asked (event, seat) JOIN seats s USING (event, seat)
LEFT JOIN orders o ON o.id = s.order_id
WHERE s.order_id IS NOT NULL AND (o.id IS NULL OR o.event <> s.event OR s.seat <> ALL (o.seats))
