-- Draws whose entries are closed.
-- $1 event
-- Result: line, n, closed_at, is_drawn
SELECT line, n, closed_at, facts IS NOT NULL AS is_drawn FROM draws WHERE event = $1 AND n IS NOT NULL
