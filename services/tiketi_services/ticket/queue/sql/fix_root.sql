-- Fix the entries. The first tree stands.
-- $1 event  $2 line  $3 root  $4 leaves, one behind the other
-- Result: root, fixed_at in force
UPDATE draws SET root = coalesce(root, $3), leaves = coalesce(leaves, $4),
  fixed_at = coalesce(fixed_at, date_trunc('milliseconds', clock_timestamp()))
WHERE event = $1 AND line = $2 RETURNING root, fixed_at
