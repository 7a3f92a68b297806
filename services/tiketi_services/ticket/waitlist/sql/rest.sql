-- Offer an entry nothing for a while. $1 entry  $2 how long.
UPDATE waitlist_entries SET state = 'RESTING', rests_until = clock_timestamp() + $2::interval
WHERE id = $1 AND state = 'WAITING'
