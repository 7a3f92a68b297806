-- Keep a webhook about an attempt of ours, once, and let an attempt that has not ended be looked at soon. One whose confirm
-- is under way gets time to be answered first: nearly all are.
-- $1 transmission  $2 vendor order id  $3 retried count  $4 body  $5 most webhooks kept of one attempt
-- $6 most looks of one attempt because of webhooks  $7 time for a confirm that is under way
-- Result: one row: is the attempt known, was this new, will the attempt be looked at.
WITH known AS (
  SELECT attempt_id FROM attempts WHERE vendor_order_id = $2
), stored AS (
  INSERT INTO webhooks (transmission_id, attempt_id, retried_count, body)
  SELECT $1, attempt_id, $3, $4 FROM known
  WHERE (SELECT count(*) FROM webhooks w WHERE w.attempt_id = known.attempt_id) < $5
  ON CONFLICT (transmission_id) DO NOTHING
  RETURNING attempt_id
), hinted AS (
  UPDATE attempts SET hinted_at = CASE state
    WHEN 'CONFIRMING' THEN greatest(clock_timestamp(), confirming_at + $7::interval) ELSE clock_timestamp() END
  FROM stored
  WHERE attempts.attempt_id = stored.attempt_id AND state IN ('CONFIRMING', 'UNKNOWN') AND hinted_looks < $6
  RETURNING attempts.attempt_id
)
SELECT EXISTS (SELECT FROM known) AS known, EXISTS (SELECT FROM stored) AS stored, EXISTS (SELECT FROM hinted) AS hinted
