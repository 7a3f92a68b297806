-- Write down what ticket says of an order; what is known already stays. An order that was closed unseen gets its
-- facts and stays closed.
-- $1 order  $2 event  $3 buyer  $4 amount  $5 currency  $6 order name  $7 pay by
-- Result: the order as it is known now.
INSERT INTO orders AS known (order_id, event, buyer, amount, currency, order_name, pay_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (order_id) DO UPDATE SET
  event      = coalesce(known.event, EXCLUDED.event),
  buyer      = coalesce(known.buyer, EXCLUDED.buyer),
  amount     = coalesce(known.amount, EXCLUDED.amount),
  currency   = coalesce(known.currency, EXCLUDED.currency),
  order_name = coalesce(known.order_name, EXCLUDED.order_name),
  pay_by     = coalesce(known.pay_by, EXCLUDED.pay_by)
RETURNING order_id, event, buyer, amount, currency, order_name, pay_by
