-- How full a house looks, in as few rows as can be. $1 event. Result: one row of the held (placed ones too, and those
-- that linger) and the sold seats, and the sections whose free seats look held, too.
SELECT
  coalesce(array_agg(seat) FILTER (WHERE state <> 'SOLD'), '{}') AS held,
  coalesce(array_agg(seat) FILTER (WHERE state = 'SOLD'), '{}') AS sold,
  sections_kept($1) AS kept
FROM seats WHERE event = $1 AND (state <> 'HELD' OR until + linger > clock_timestamp())
