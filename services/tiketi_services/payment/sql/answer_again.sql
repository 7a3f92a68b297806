-- Ticket asks again for a refund: if the money is back, tell it again. $1 refund
-- Result: one row if the money is back: what to tell, and whether the message of then is sent again.
WITH again AS (
  UPDATE outbox SET sent_at = NULL, created_at = clock_timestamp()
  WHERE key = 'payment.refunded' AND body ->> 'refund' = $1::uuid::text RETURNING id
)
SELECT r.refund_id, r.amount, r.balance, o.order_id, o.event, o.buyer, o.currency, EXISTS (SELECT FROM again) AS is_told
FROM refunds r JOIN orders o USING (order_id) WHERE r.refund_id = $1 AND r.state = 'DONE'
