-- Those of some seats that nobody can hold now, looked up one by one (see hold_seats). $1 event  $2 seats.
-- Result: seat, state, hold, buyer, until (null unless HELD).
SELECT s.* FROM unnest($2::text[]) wanted, LATERAL (
  SELECT seat, state, hold, buyer, until FROM seats
  WHERE event = $1 AND seat = wanted AND (state <> 'HELD' OR until > clock_timestamp())
  LIMIT 1
) s
