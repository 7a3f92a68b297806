-- An attempt, its order, and the outcome if this attempt is the one that paid.
-- $1 vendor order id  $2 buyer
-- Result: one row, or none.
SELECT a.order_id, o.event, o.buyer, o.amount, o.currency, o.order_name, o.pay_by,
       o.state AS order_state, o.pay_by <= clock_timestamp() AS overdue,
       a.state AS attempt_state, a.payment_key, a.code, outcomes.jws AS outcome
FROM attempts a
JOIN orders o USING (order_id)
LEFT JOIN outcomes ON outcomes.attempt_id = a.attempt_id
WHERE a.vendor_order_id = $1 AND o.buyer = $2
