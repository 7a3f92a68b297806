-- Turn a live hold into an order; the function says how and why.
-- $1 event  $2 version  $3 sections  $4 their prices  $5 currency  $6 title  $7 time to pay  $8 buyer  $9 hold
-- $10 id of the order if it is new  $11 idempotency key. Result: outcome, and the order's columns (null without one).
SELECT outcome, (placed).* FROM place_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
