-- In ticket's database: of the next seats by event and name, those set aside for an order that does not have them.
-- $1 after this event  $2 after this seat  $3 one event, or null  $4 most to look at
-- Result: event, seat, order_id; and one row more with no order: the last one looked at (none: there are no more).
WITH page AS (
  SELECT event, seat, order_id FROM seats
  WHERE (event, seat) > ($1::text, $2::text COLLATE "C") AND ($3::text IS NULL OR event = $3)
  ORDER BY event, seat LIMIT $4
)
(SELECT p.event, p.seat, p.order_id FROM page p LEFT JOIN orders o ON o.id = p.order_id
  WHERE p.order_id IS NOT NULL AND (o.id IS NULL OR o.event <> p.event OR p.seat <> ALL (o.seats)))
UNION ALL
(SELECT event, seat, NULL FROM page ORDER BY event DESC, seat DESC LIMIT 1)
