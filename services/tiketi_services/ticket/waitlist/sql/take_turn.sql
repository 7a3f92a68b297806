-- Only one process at a time makes offers for an event, until its transaction ends. $1 event. Result: whether it is ours.
SELECT pg_try_advisory_xact_lock(hashtextextended('waitlist ' || $1, 0))
