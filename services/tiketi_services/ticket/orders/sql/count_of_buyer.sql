-- Seats of an event that count toward a buyer's limit: held, placed or sold, but for those of one hold.
-- $1 event  $2 buyer  $3 hold (or null).
SELECT count(*) FROM seats
WHERE event = $1 AND buyer = $2 AND (state <> 'HELD' OR until > clock_timestamp()) AND hold IS DISTINCT FROM $3::uuid
