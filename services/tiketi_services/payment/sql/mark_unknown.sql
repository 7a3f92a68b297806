-- The answer is not known: the resolver looks again, later each time (1 s doubling to 30 s).
-- $1 attempt  $2 code  $3 number of the next confirm call  $4 its idempotency key
UPDATE attempts SET
  state = 'UNKNOWN', code = $2, calls = $3, idempotency_key = $4, looks = looks + 1,
  look_at = clock_timestamp() + make_interval(secs => least(30, 2 ^ least(looks, 5)))
WHERE attempt_id = $1 AND state IN ('CONFIRMING', 'UNKNOWN')
