-- The newest sheet of every event in force.
-- $1 the one event of a lane, or null for all
-- Result: event, content
SELECT DISTINCT ON (event) event, content
FROM sale_sheets JOIN events USING (event)
WHERE gone_at IS NULL AND ($1::text IS NULL OR event = $1)
ORDER BY event, version DESC
