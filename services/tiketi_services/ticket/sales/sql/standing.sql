-- Which of these events are not deleted.
-- $1 events
-- Result: event
SELECT event FROM events WHERE event = ANY($1::text[]) AND gone_at IS NULL
