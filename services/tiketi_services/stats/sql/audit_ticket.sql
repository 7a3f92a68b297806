-- In ticket's database: orders with their seats and tickets, all of one moment. $1 order ids
-- Result: one row an order. Of each seat of ``seats``, in their order: ``kept``, its state if it is this order's (else
-- null), and ``valid``, how many tickets are good for it, whoever's they are. Of the order's tickets: seat, state, price.
-- ``refund_…``: what was given back of it.
SELECT
  o.id AS order_id, o.event, o.buyer, o.state, o.amount, o.currency, o.payment_key, o.seats, o.prices,
  o.pay_by, o.ended_at, o.cancel_requested_at IS NOT NULL AS is_cancelled, clock_timestamp() AS read_at,
  ARRAY(
    SELECT (SELECT s.state FROM seats s WHERE s.event = o.event AND s.seat = wanted.seat AND s.order_id = o.id)
    FROM unnest(o.seats) WITH ORDINALITY AS wanted (seat, place) ORDER BY wanted.place
  ) AS kept,
  ARRAY(
    SELECT (SELECT count(*) FROM tickets t WHERE t.event = o.event AND t.seat = wanted.seat AND t.state <> 'VOID')
    FROM unnest(o.seats) WITH ORDINALITY AS wanted (seat, place) ORDER BY wanted.place
  ) AS valid,
  ARRAY(SELECT t.seat FROM tickets t WHERE t.order_id = o.id ORDER BY t.id) AS ticket_seats,
  ARRAY(SELECT t.state FROM tickets t WHERE t.order_id = o.id ORDER BY t.id) AS ticket_states,
  ARRAY(SELECT t.price FROM tickets t WHERE t.order_id = o.id ORDER BY t.id) AS ticket_prices,
  ARRAY(SELECT r.id FROM refunds r WHERE r.order_id = o.id ORDER BY r.id) AS refund_ids,
  ARRAY(SELECT r.amount FROM refunds r WHERE r.order_id = o.id ORDER BY r.id) AS refund_amounts,
  ARRAY(SELECT r.state FROM refunds r WHERE r.order_id = o.id ORDER BY r.id) AS refund_states,
  ARRAY(SELECT r.requested_at FROM refunds r WHERE r.order_id = o.id ORDER BY r.id) AS refund_times
FROM unnest($1::uuid[]) AS asked (id), LATERAL (SELECT * FROM orders found WHERE found.id = asked.id LIMIT 1) o
