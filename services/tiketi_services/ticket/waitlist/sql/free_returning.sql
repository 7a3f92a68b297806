-- Seats of a refund that somebody waits for are free now, which means: the waitlist's. $1 event  $2 refund.
UPDATE seats SET until = clock_timestamp()
WHERE event = $1 AND hold = $2 AND buyer = '' AND state = 'HELD' AND until > clock_timestamp()
  AND EXISTS (SELECT FROM waitlist_wants w WHERE w.event = $1 AND w.section = split_part(seat, '-', 1))
