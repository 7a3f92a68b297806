-- Open orders that payment is to close now. They are set aside for the time given, so that sweepers share the work
-- and one that dies loses nothing. $1 most orders  $2 time set aside. Result: order ids.
UPDATE orders SET close_at = clock_timestamp() + $2
WHERE id IN (
  SELECT id FROM orders WHERE close_at <= now()
  ORDER BY close_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING id
