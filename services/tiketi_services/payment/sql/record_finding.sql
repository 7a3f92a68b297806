-- Something that does not agree. A later look may say it in other words; the first action stays.
-- $1 payment key  $2 kind  $3 day  $4 vendor order id  $5 attempt  $6 both sides in words  $7 action
-- Result: whether it is new.
INSERT INTO findings AS known (payment_key, kind, day, vendor_order_id, attempt_id, told, action)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (payment_key, kind) DO UPDATE SET
  told = EXCLUDED.told, last_seen_at = clock_timestamp(), gone_at = NULL,
  action = CASE known.action WHEN 'recorded' THEN EXCLUDED.action ELSE known.action END
RETURNING xmax = 0 AS is_new
