-- Wait for more seats, or for fewer, at the same place. $1 event  $2 buyer  $3 quantity.
-- Result: no row if the buyer does not wait, or has an offer.
UPDATE waitlist_entries SET quantity = $3
WHERE event = $1 AND buyer = $2 AND state IN ('WAITING', 'RESTING')
RETURNING id
