-- Turn a live hold into an order; the function says how and why. The owner's name is kept with a new order, and stays.
-- $1 event  $2 version  $3 sections  $4 their prices  $5 currency  $6 title  $7 time to pay  $8 buyer  $9 hold
-- $10 id of the order if it is new  $11 idempotency key  $12 name of the owner, or null.
-- Result: outcome, and the order's columns (null without one).
--
-- Of a cancelled event there is no new order (outcome ``cancelled``); what was placed before is answered as ever. The
-- function hangs on that by an argument, so that no plan calls it before it is known.
WITH refused AS MATERIALIZED (
  SELECT event_is_cancelled($1) AND NOT EXISTS (
    SELECT FROM orders o WHERE (o.buyer = $8 AND o.idempotency_key = $11) OR o.hold = $9
  ) AS is_so
), decided AS MATERIALIZED (
  SELECT p.outcome, p.placed FROM refused, LATERAL place_order(
    $1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN NOT is_so THEN $9::uuid END, $10, $11
  ) p WHERE NOT is_so
  UNION ALL
  SELECT 'cancelled', NULL::orders FROM refused WHERE is_so
), named AS (
  INSERT INTO order_owners (order_id, name)
  SELECT (placed).id, $12::text FROM decided WHERE outcome = 'placed' AND (placed).id = $10 AND $12::text IS NOT NULL
)
SELECT outcome, (placed).* FROM decided
