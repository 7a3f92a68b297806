-- Those of some events that somebody waits for. $1 events. Result: event.
SELECT event FROM unnest($1::text[]) event, LATERAL (
  SELECT FROM waitlist_entries e WHERE e.event = event.event AND e.state IN ('WAITING', 'RESTING', 'OFFERED') LIMIT 1
) present
