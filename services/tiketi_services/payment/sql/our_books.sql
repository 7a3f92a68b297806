-- What we know of payments: by payment key, or by the order id that we gave to the vendor.
-- $1 payment keys  $2 vendor order ids
-- given_back: what our books say was given back. is_moving: money is on its way back; the vendor may be ahead of us.
SELECT a.attempt_id, a.vendor_order_id, a.payment_key, a.state, o.amount, o.currency,
  outcomes.attempt_id IS NOT NULL AS is_outcome,
  CASE WHEN EXISTS (SELECT FROM cancellations c WHERE c.payment_key = a.payment_key AND c.state = 'DONE')
       THEN o.amount ELSE 0 END
    + (SELECT coalesce(sum(r.amount), 0) FROM refunds r
       WHERE r.payment_key = a.payment_key AND r.state = 'DONE')::bigint AS given_back,
  EXISTS (SELECT FROM cancellations c
          WHERE c.payment_key = a.payment_key AND c.state = 'REQUESTED')
    OR EXISTS (SELECT FROM refunds r WHERE r.payment_key = a.payment_key AND r.state <> 'DONE') AS is_moving
FROM attempts a
JOIN orders o USING (order_id)
LEFT JOIN outcomes ON outcomes.attempt_id = a.attempt_id
WHERE a.payment_key = ANY($1) OR a.vendor_order_id = ANY($2)
