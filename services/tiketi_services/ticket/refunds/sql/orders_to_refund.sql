-- Orders of cancelled events that still have tickets nobody has used. $1 most  $2 orders to leave out for now.
-- Result: order, event, who cancelled it.
SELECT DISTINCT t.order_id, c.event, c.cancelled_by
FROM cancelled_events c JOIN tickets t ON t.event = c.event AND t.state = 'ISSUED'
WHERE t.order_id <> ALL ($2::uuid[]) LIMIT $1
