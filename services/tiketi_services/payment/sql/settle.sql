-- The vendor charged: this is the outcome of the order, if the order is open and has none.
-- $1 attempt  $2 order  $3 signed outcome  $4 to $6 id, key and body of the message that tells it
-- Result: one row if it became the outcome.
WITH open_order AS (
  SELECT * FROM orders WHERE order_id = $2 AND state = 'OPEN' FOR UPDATE
), done AS (
  UPDATE attempts SET state = 'DONE', ended_at = clock_timestamp(), code = NULL
  FROM open_order
  WHERE attempt_id = $1 AND attempts.order_id = open_order.order_id
    AND attempts.state IN ('CONFIRMING', 'UNKNOWN', 'REFUSED')
  RETURNING attempts.order_id, attempt_id, amount, currency, payment_key
), outcome AS (
  INSERT INTO outcomes (order_id, attempt_id, status, amount, currency, payment_key, jws)
  SELECT order_id, attempt_id, 'PAID', amount, currency, payment_key, $3 FROM done
  RETURNING order_id
), told AS (
  INSERT INTO outbox (id, key, body) SELECT $4, $5, $6 FROM outcome
)
UPDATE orders SET state = 'PAID' FROM outcome WHERE orders.order_id = outcome.order_id
RETURNING orders.order_id
