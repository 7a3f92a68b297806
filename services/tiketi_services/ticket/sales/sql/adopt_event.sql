-- Know an event. One that was deleted and made again begins a new line, with the next epoch.
-- $1 event  $2 uid of the TicketEvent
-- Result: epoch, is_founded (false: the line has yet to begin in Redis)
INSERT INTO events AS known (event, uid) VALUES ($1, $2)
ON CONFLICT (event) DO UPDATE SET
  epoch = known.epoch + (known.gone_at IS NOT NULL OR known.uid <> excluded.uid)::int,
  founded_at = CASE WHEN known.gone_at IS NULL AND known.uid = excluded.uid THEN known.founded_at END,
  uid = excluded.uid,
  gone_at = NULL
RETURNING epoch, founded_at IS NOT NULL AS is_founded
