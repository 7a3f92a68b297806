-- Not made yet; tried again, later each time (0.5 s doubling to 1 min; 10 min if the vendor refuses it).
-- $1 refund  $2 code  $3 number of the next call  $4 whether the last call may still have done it
-- $5 whether the vendor refuses it
UPDATE refunds SET
  state = CASE WHEN $4 THEN state ELSE 'REQUESTED' END, code = $2, calls = $3, is_refused = $5, tries = tries + 1,
  try_at = clock_timestamp() + CASE WHEN $5 THEN interval '10 min' ELSE make_interval(secs => least(60, 0.5 * 2 ^ least(tries, 7))) END
WHERE refund_id = $1 AND state <> 'DONE'
