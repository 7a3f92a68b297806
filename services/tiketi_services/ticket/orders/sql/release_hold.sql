-- Free the seats of a hold that has not become an order.
-- $1 event  $2 buyer  $3 hold. Result: no row if the hold is not this buyer's; else the freed seats (none if it had
-- lapsed or was released before) and the order it became, if it did.
WITH released AS MATERIALIZED (
  SELECT id, release_seats(event, seats, fence) AS freed FROM holds WHERE id = $3 AND event = $1 AND buyer = $2
), noted AS (
  UPDATE holds h SET released_at = clock_timestamp() FROM released r WHERE h.id = r.id AND cardinality(r.freed) > 0
)
SELECT r.freed, (SELECT o.id FROM orders o WHERE o.hold = r.id) AS order_id FROM released r
