-- The public seat map; and the turn to read it anew, if that is due and nobody took it.
-- $1 event  $2 version of the caller's sale sheet  $3 version of the map the caller has  $4 interval between turns.
-- Result: turn (null: not the caller's), age (s) and version of the map, whether somebody is reading, s until the next
-- turn; layout, seats and states (null if the caller has them). No row for an event that was never looked at.
-- A turn in the future was taken before the server's clock was set back.
WITH taken AS (
  UPDATE seat_maps SET turn = turn + 1, turn_at = clock_timestamp()
  WHERE event = $1 AND sale_version <= $2
    AND (turn_at <= clock_timestamp() - $4::interval OR turn_at > clock_timestamp() + $4::interval)
  RETURNING *
), seen AS (
  SELECT true AS is_taken, * FROM taken
  UNION ALL
  SELECT false, * FROM seat_maps WHERE event = $1 AND NOT EXISTS (SELECT FROM taken)
)
SELECT
  CASE WHEN is_taken THEN turn END AS turn, version, seats,
  extract(epoch FROM clock_timestamp() - read_at)::float8 AS age,
  turn_at > read_at AS is_being_read,
  extract(epoch FROM turn_at + $4 - clock_timestamp())::float8 AS due,
  CASE WHEN version <> $3 THEN layout END AS layout,
  CASE WHEN version <> $3 THEN states END AS states
FROM seen
