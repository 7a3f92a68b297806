-- Fix the entries. The first tree stands, and with it the losses of Redis by which entries may be missing from it.
-- $1 event  $2 line  $3 root  $4 leaves, one behind the other  $5 epoch in which they were read
-- Result: root, fixed_at in force
UPDATE draws SET root = coalesce(root, $3), leaves = coalesce(leaves, $4),
  fixed_at = coalesce(fixed_at, date_trunc('milliseconds', clock_timestamp())),
  losses = CASE WHEN root IS NULL AND tells_losses THEN (
    SELECT coalesce(jsonb_agg(jsonb_build_object(
      'epoch', epoch, 'at', lost_at, 'numbersTo', numbers_to, 'waiting', waiting) ORDER BY epoch), '[]')
    FROM line_losses WHERE line_losses.event = $1 AND line_losses.line = $2 AND epoch <= $5
  ) ELSE losses END
WHERE event = $1 AND line = $2 RETURNING root, fixed_at
