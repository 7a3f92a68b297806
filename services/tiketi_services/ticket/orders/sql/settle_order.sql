-- The order is paid: its seats are sold and its tickets issued, with the message that says so. Once: a second call
-- finds the order no longer OPEN. Undone whole (TK001) if the order had lost a seat.
-- $1 order  $2 event  $3 buyer  $4 amount  $5 currency  $6 payment key  $7 id of the message that told us, or null.
-- Result: the order, if it was settled now; no row if it is not OPEN or is not the order that was paid.
WITH paid AS (
  UPDATE orders SET state = 'PAID', payment_key = $6, ended_at = clock_timestamp(), close_at = NULL
  WHERE id = $1 AND event = $2 AND buyer = $3 AND amount = $4 AND currency = $5 AND state = 'OPEN'
  RETURNING *
), heard AS (
  INSERT INTO inbox (id) SELECT $7::uuid FROM paid WHERE $7::uuid IS NOT NULL ON CONFLICT DO NOTHING
), issued AS (
  INSERT INTO tickets (event, seat, order_id, buyer, price)
  SELECT p.event, u.seat, p.id, p.buyer, u.price FROM paid p, unnest(p.seats, p.prices) AS u (seat, price)
), told AS (
  INSERT INTO outbox (id, key, body) SELECT message.id, 'tickets.issued', jsonb_build_object(
    'id', message.id, 'version', 1, 'key', 'tickets.issued', 'at', p.ended_at, 'order', p.id, 'event', p.event,
    'buyer', p.buyer, 'seats', p.seats, 'amount', p.amount, 'currency', p.currency,
    'details', event_details(p.event)
  ) FROM paid p, (SELECT gen_random_uuid() AS id) message
)
SELECT * FROM paid WHERE sell_seats(event, seats, id)
