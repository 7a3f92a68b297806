-- Add one fact to its order, unless its message was applied before; what is known stays.
-- $1 order uuid  $2 event  $3 seats text[]  $4 amount (minor units)  $5 currency
-- $6 placed_at  $7 settled_at  $8 issued_at  $9 closed_at  $10 refusals  $11 tickets given back  $12 their price;
-- each of $3 to $9 may be NULL. $13 the message
-- Result: one row if it was added.
WITH heard AS (
  INSERT INTO inbox (id) VALUES ($13) ON CONFLICT DO NOTHING RETURNING id
)
INSERT INTO sales AS known
  (order_id, event, seats, amount, currency, placed_at, settled_at, issued_at, closed_at, refusals, returned,
   returned_amount)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM heard
ON CONFLICT (order_id) DO UPDATE SET
  seats      = COALESCE(known.seats, excluded.seats),
  amount     = COALESCE(known.amount, excluded.amount),
  currency   = COALESCE(known.currency, excluded.currency),
  placed_at  = COALESCE(known.placed_at, excluded.placed_at),
  settled_at = COALESCE(known.settled_at, excluded.settled_at),
  issued_at  = COALESCE(known.issued_at, excluded.issued_at),
  closed_at  = COALESCE(known.closed_at, excluded.closed_at),
  refusals   = known.refusals + excluded.refusals,
  returned   = known.returned + excluded.returned,
  returned_amount = known.returned_amount + excluded.returned_amount
RETURNING order_id
