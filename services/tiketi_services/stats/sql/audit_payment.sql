-- In payment's database: orders and what was charged for them, all of one moment. $1 order ids
-- Result: one row an order. ``paid_…``: its outcome, or null. ``under_way``: attempts whose end is not known. ``lost``:
-- charges that are neither the outcome nor cancelled. ``going_back``: charges that the vendor has not cancelled yet.
-- ``refund_…``: what goes back because ticket asked; ``last_refund_at``: when the newest of all was learnt.
-- All by the order's own index: states are counted afterwards, or a plan would read every charge for each order.
SELECT
  o.order_id, o.event, o.buyer, o.state, o.amount, o.currency,
  x.amount AS paid_amount, x.currency AS paid_currency, x.payment_key, x.created_at AS paid_at,
  tries.under_way, tries.lost, tries.going_back, clock_timestamp() AS read_at,
  (SELECT max(r.created_at) FROM refunds r) AS last_refund_at,
  ARRAY(SELECT r.refund_id FROM refunds r WHERE r.order_id = o.order_id ORDER BY r.refund_id) AS refund_ids,
  ARRAY(SELECT r.amount FROM refunds r WHERE r.order_id = o.order_id ORDER BY r.refund_id) AS refund_amounts,
  ARRAY(SELECT r.state FROM refunds r WHERE r.order_id = o.order_id ORDER BY r.refund_id) AS refund_states,
  ARRAY(SELECT r.created_at FROM refunds r WHERE r.order_id = o.order_id ORDER BY r.refund_id) AS refund_times
FROM unnest($1::uuid[]) AS asked (id)
  CROSS JOIN LATERAL (SELECT * FROM orders found WHERE found.order_id = asked.id LIMIT 1) o
  LEFT JOIN LATERAL (
    SELECT attempt_id, amount, currency, payment_key, created_at FROM outcomes paid
    WHERE paid.order_id = o.order_id LIMIT 1
  ) x ON true
  CROSS JOIN LATERAL (
    SELECT
      count(*) FILTER (WHERE a.state IN ('CONFIRMING', 'UNKNOWN')) AS under_way,
      count(*) FILTER (
        WHERE a.state = 'DONE' AND a.attempt_id IS DISTINCT FROM x.attempt_id
          AND NOT EXISTS (SELECT FROM cancellations c WHERE c.attempt_id = a.attempt_id)
      ) AS lost,
      count(*) FILTER (
        WHERE EXISTS (SELECT FROM cancellations c WHERE c.attempt_id = a.attempt_id AND c.state = 'REQUESTED')
      ) AS going_back
    FROM attempts a WHERE a.order_id = o.order_id
  ) tries
