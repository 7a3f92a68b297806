-- Payment has given the money of a refund back. With nothing left at the vendor the order is REFUNDED, unless a ticket of
-- it still counts: then somebody else moved money, and that is for the auditor. Again changes nothing.
-- What is finished now is told, for the buyer's letter.
-- $1 refund  $2 order  $3 amount  $4 what the vendor still has of the payment  $5 id of the message
-- Result: one row: whether the refund is known, whether it was finished now, whether the order was.
WITH known AS (
  SELECT id, order_id FROM refunds WHERE id = $1 AND order_id = $2 AND amount = $3
), heard AS (
  INSERT INTO inbox (id) SELECT $5 FROM known ON CONFLICT DO NOTHING
), done AS (
  UPDATE refunds r SET state = 'DONE', done_at = clock_timestamp()
  FROM known WHERE r.id = known.id AND r.state = 'REQUESTED' RETURNING r.*
), told AS (
  INSERT INTO outbox (id, key, body) SELECT message.id, 'refund.done', jsonb_build_object(
    'id', message.id, 'version', 1, 'key', 'refund.done', 'at', d.done_at, 'order', d.order_id, 'event', d.event,
    'refund', d.id, 'buyer', d.buyer, 'seats', d.seats, 'amount', d.amount, 'currency', d.currency, 'reason', d.reason,
    'details', event_details(d.event)
  ) FROM done d, (SELECT gen_random_uuid() AS id) message
), refunded AS (
  UPDATE orders o SET state = 'REFUNDED'
  FROM known WHERE o.id = known.order_id AND o.state = 'PAID' AND $4::bigint = 0
    AND NOT EXISTS (SELECT FROM tickets t WHERE t.order_id = o.id AND t.state <> 'VOID')
  RETURNING o.id
)
SELECT EXISTS (SELECT FROM known) AS is_known, EXISTS (SELECT FROM done) AS is_done,
  EXISTS (SELECT FROM refunded) AS is_refunded
