-- A look-up decided nothing: the next one may come after a moment.
-- $1 attempt
UPDATE attempts SET looking_until = clock_timestamp() + interval '0.5 s'
WHERE attempt_id = $1 AND state IN ('CONFIRMING', 'UNKNOWN')
