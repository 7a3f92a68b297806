-- Other seats for a hold, all of them or none; the function says how and why.
-- $1 event  $2 version  $3 line opens at  $4 line closes at  $5 limit  $6 duration of holds  $7 buyer  $8 hold
-- $9 id of the new hold  $10 seats, sorted. Result: outcome, dropped, taken, live, and the columns of the hold (null if it
-- is unknown); no row while the sale is stopped (sale_stops).
-- Seats that are kept from every line (seats_kept) are as taken, unless the buyer has them: see hold_seats.sql.
WITH kept AS MATERIALIZED (
  SELECT seats_kept($1, NULL, ARRAY(
    SELECT wanted FROM unnest($10::text[]) wanted WHERE NOT EXISTS (
      SELECT FROM seats s WHERE s.event = $1 AND s.seat = wanted AND s.buyer = $7 AND s.until > clock_timestamp()
    )
  )) AS seats
  WHERE coalesce((SELECT action <> 'STOP' FROM sale_stops WHERE event = $1 ORDER BY id DESC LIMIT 1), true)
)
SELECT changed.outcome, changed.dropped, changed.taken, changed.live, (changed.kept).*
FROM kept, LATERAL change_seats(
  $1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN kept.seats = '{}' THEN $10::text[] END
) changed
WHERE kept.seats = '{}'
UNION ALL
SELECT 'taken', NULL, kept.seats, NULL, (NULL::holds).* FROM kept WHERE kept.seats <> '{}'
