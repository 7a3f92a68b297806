-- A session is over before its time: the purchase is done, or it was given up.
-- $1 event  $2 buyer  $3 line, or null for every line
UPDATE claims SET ended_at = clock_timestamp()
WHERE event = $1 AND buyer = $2 AND ($3::text IS NULL OR line = $3) AND ended_at IS NULL
