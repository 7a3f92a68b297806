-- Who waits for one of some sections, in order. $1 event  $2 sections  $3 most.
-- Result: the entries, with the number of seats each buyer has, and whether the time of gathering is over.
SELECT e.*, e.gathers_until <= clock_timestamp() AS is_gathered, (
  SELECT count(*) FROM seats s
  WHERE s.event = e.event AND s.buyer = e.buyer AND (s.state <> 'HELD' OR s.until > clock_timestamp())
) AS live
FROM waitlist_entries e
WHERE e.event = $1 AND e.state = 'WAITING' AND e.sections && $2::text[]
ORDER BY e.seq LIMIT $3
