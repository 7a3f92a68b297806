-- How full houses are. $1 events. Result: event, its sold seats, and all its seats that have a row (no row for an empty
-- house).
SELECT event, count(*) FILTER (WHERE state = 'SOLD') AS sold, count(*) AS taken
FROM seats WHERE event = ANY ($1) GROUP BY event
