-- Turn a live hold into an order; the function says how and why. The owner's name is kept with a new order, and stays.
-- $1 event  $2 version  $3 sections  $4 their prices  $5 currency  $6 title  $7 time to pay  $8 buyer  $9 hold
-- $10 id of the order if it is new  $11 idempotency key  $12 name of the owner, or null.
-- Result: outcome, and the order's columns (null without one).
WITH decided AS MATERIALIZED (
  SELECT outcome, placed FROM place_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
), named AS (
  INSERT INTO order_owners (order_id, name)
  SELECT (placed).id, $12::text FROM decided WHERE outcome = 'placed' AND (placed).id = $10 AND $12::text IS NOT NULL
)
SELECT outcome, (placed).* FROM decided
