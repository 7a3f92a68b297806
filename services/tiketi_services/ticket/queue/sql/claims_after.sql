-- Spent places of a line, by number.
-- $1 event  $2 line  $3 number after which to go on  $4 most
-- Result: buyer, seq, session, ends_at (null if the session was ended before its time)
SELECT buyer, seq, session, CASE WHEN ended_at IS NULL THEN ends_at END AS ends_at
FROM claims WHERE event = $1 AND line = $2 AND seq > $3
ORDER BY seq LIMIT $4
