-- What the lines of an event were told.
-- $1 event
-- Result: line, joined_from, draw_at, chain, round
SELECT line, joined_from, draw_at, chain, round FROM draw_promises WHERE event = $1 ORDER BY line
