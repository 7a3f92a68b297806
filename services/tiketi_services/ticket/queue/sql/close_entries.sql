-- The entries are closed: how many numbers were given out. What was noted first stands.
-- $1 event  $2 line  $3 n  $4 when they were to close  $5 when they did
-- Result: n, draw_at, closed_at in force
UPDATE draws SET n = coalesce(n, $3), draw_at = coalesce(draw_at, $4), closed_at = coalesce(closed_at, $5)
WHERE event = $1 AND line = $2 RETURNING n, draw_at, closed_at
