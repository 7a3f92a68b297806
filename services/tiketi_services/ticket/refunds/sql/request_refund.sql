-- Void tickets of one order and ask payment for their price; see request_refund in migrations/0001_refunds.sql. With it goes
-- what only the buyer has to hear: that the event is cancelled, or that a refund without money is done.
-- $1 refund  $2 order  $3 buyer or null  $4 event or null  $5 who asks  $6 idempotency key  $7 reason
-- $8 tickets, or null for all  $9 whether used ones are left out  $10 soonest and $11 latest return of the seats
WITH ruled AS (
  SELECT r.outcome, r.used, r.void, r.missing, r.refunds_until, (r.refund).*
  FROM request_refund($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) r
), told AS (
  INSERT INTO outbox (id, key, body) SELECT message.id, message.key, jsonb_build_object(
    'id', message.id, 'version', 1, 'key', message.key, 'at', r.requested_at, 'order', r.order_id, 'event', r.event,
    'refund', r.id, 'buyer', r.buyer, 'seats', r.seats, 'amount', r.amount, 'currency', r.currency, 'reason', r.reason,
    'details', event_details(r.event)
  ) FROM ruled r, LATERAL (
    SELECT gen_random_uuid() AS id,
      CASE WHEN r.reason = 'event-cancelled' THEN 'event.cancelled' ELSE 'refund.done' END AS key
  ) message
  WHERE r.outcome = 'requested' AND (r.reason = 'event-cancelled' OR r.amount = 0)
)
SELECT * FROM ruled
