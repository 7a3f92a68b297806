-- Not given back yet; try again, later each time (1 s doubling to 5 min).
-- $1 cancellation  $2 code  $3 number of the next call
UPDATE cancellations SET
  code = $2, calls = $3, tries = tries + 1,
  try_at = clock_timestamp() + make_interval(secs => least(300, 2 ^ least(tries, 9)))
WHERE cancellation_id = $1 AND state = 'REQUESTED'
