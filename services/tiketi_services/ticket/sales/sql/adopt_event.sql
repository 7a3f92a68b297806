-- Know an event, also one that was deleted and made again: it goes on with its places and everything sold. Only a newer
-- sheet brings it back; an older one is what a Redis with a stale memory still shows.
-- $1 event  $2 uid of the TicketEvent  $3 version of its sheet
-- Result: the event; no row if it stays deleted
INSERT INTO events AS known (event, uid) VALUES ($1, $2)
ON CONFLICT (event) DO UPDATE SET uid = excluded.uid, gone_at = NULL
WHERE known.gone_at IS NULL OR $3 > (SELECT coalesce(max(version), 0) FROM sale_sheets WHERE event = $1)
RETURNING event
