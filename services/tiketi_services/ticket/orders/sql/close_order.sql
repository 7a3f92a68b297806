-- Payment has closed the order unpaid, for ever: its seats are free. Undone whole (TK001) if the order had lost a seat.
-- $1 order. Result: the order, if it was closed now; no row if it is not OPEN.
WITH closed AS (
  UPDATE orders SET state = 'CLOSED', ended_at = clock_timestamp(), close_at = NULL
  WHERE id = $1 AND state = 'OPEN' RETURNING *
), told AS (
  INSERT INTO outbox (id, key, body) SELECT message.id, 'order.closed', jsonb_build_object(
    'id', message.id, 'version', 1, 'key', 'order.closed', 'at', c.ended_at, 'order', c.id, 'event', c.event,
    'seats', c.seats
  ) FROM closed c, (SELECT gen_random_uuid() AS id) message
)
SELECT * FROM closed WHERE free_seats(event, seats, id)
