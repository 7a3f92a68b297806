-- How many wait now.
-- $1 events  $2 lines  $3 living
UPDATE lines SET living = seen.living
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS seen(event, line, living)
WHERE lines.event = seen.event AND lines.line = seen.line AND lines.living <> seen.living
