-- A buyer's live holds of an event, oldest first. $1 event  $2 buyer. Result: holds.
SELECT h.* FROM holds h
WHERE h.id IN (
  SELECT s.hold FROM seats s
  WHERE s.event = $1 AND s.buyer = $2 AND s.state = 'HELD' AND s.until > clock_timestamp()
)
ORDER BY h.held_at, h.id
