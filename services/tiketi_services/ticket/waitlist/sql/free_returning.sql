-- Seats of a refund that are kept for those who wait are free now, which means: the waitlist's. $1 event  $2 refund.
UPDATE seats SET until = clock_timestamp()
WHERE event = $1 AND hold = $2 AND buyer = '' AND state = 'HELD' AND until > clock_timestamp()
  AND waitlist_keeps($1, split_part(seat, '-', 1))
