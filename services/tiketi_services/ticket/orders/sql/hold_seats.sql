-- Give a buyer all of the wanted seats, or none; the function says how and why.
-- $1 event  $2 version  $3 line opens at  $4 line closes at  $5 limit  $6 duration  $7 buyer  $8 line  $9 hold
-- $10 seats, sorted. Result: one row of outcome, until, taken, live; no row while the sale is stopped (sale_stops).
--
-- Seats that are kept from this line (seats_kept) are as taken to it. The function hangs on them by an argument, so that
-- no plan calls it before they are known.
WITH kept AS MATERIALIZED (
  SELECT seats_kept($1, $8, $10) AS seats
  WHERE coalesce((SELECT action <> 'STOP' FROM sale_stops WHERE event = $1 ORDER BY id DESC LIMIT 1), true)
)
SELECT held.outcome, held.until, held.taken, held.live
FROM kept, LATERAL hold_seats(
  $1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN kept.seats = '{}' THEN $10::text[] END
) held
WHERE kept.seats = '{}'
UNION ALL
SELECT 'taken', NULL, kept.seats, NULL FROM kept WHERE kept.seats <> '{}'
