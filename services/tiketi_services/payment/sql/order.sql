-- An order as its buyer may see it.
-- $1 order  $2 buyer
-- Result: one row, or none.
SELECT order_id, event, buyer, orders.amount, orders.currency, order_name, pay_by, state,
       pay_by <= clock_timestamp() AS overdue, outcomes.jws AS outcome
FROM orders LEFT JOIN outcomes USING (order_id)
WHERE order_id = $1 AND buyer = $2
