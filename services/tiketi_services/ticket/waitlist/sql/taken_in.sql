-- Seats of some sections that somebody has. $1 event  $2 sections. Result: one row of seats.
SELECT coalesce(array_agg(s.seat), '{}') AS seats FROM unnest($2::text[]) section, LATERAL (
  SELECT seat FROM seats
  WHERE event = $1 AND seat >= section || '-' AND seat < section || '.'
    AND (state <> 'HELD' OR until > clock_timestamp())
) s
