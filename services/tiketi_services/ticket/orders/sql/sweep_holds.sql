-- Remove holds that have run out and no longer linger. Nothing depends on it: such a seat is free with the row and
-- without it. It tells what is to be painted over. $1 most seats. Result: event, seat, hold.
DELETE FROM seats WHERE (event, seat) IN (
  SELECT event, seat FROM seats WHERE until <= now() AND until + linger <= now()
  ORDER BY until LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING event, seat, hold
