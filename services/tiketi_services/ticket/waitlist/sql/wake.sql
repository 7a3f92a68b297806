-- Who has rested long enough waits again. $1 event.
UPDATE waitlist_entries SET state = 'WAITING', rests_until = NULL
WHERE event = $1 AND state = 'RESTING' AND rests_until <= clock_timestamp()
