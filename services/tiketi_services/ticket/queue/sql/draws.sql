-- Draws without their leaves.
-- $1 events
-- Result: event, line, commitment, committed_at, beacons, n, draw_at, closed_at, root, fixed_at, facts, losses
SELECT event, line, commitment, committed_at, beacons, n, draw_at, closed_at, root, fixed_at, facts, losses
FROM draws WHERE event = ANY($1)
