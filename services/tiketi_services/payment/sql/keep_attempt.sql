-- The process that took an attempt is about to call the vendor once more: the attempt stays its own for longer.
-- $1 attempt  $2 lease
UPDATE attempts SET look_at = clock_timestamp() + $2::interval, looking_until = clock_timestamp() + $2::interval
WHERE attempt_id = $1 AND state IN ('CONFIRMING', 'UNKNOWN')
