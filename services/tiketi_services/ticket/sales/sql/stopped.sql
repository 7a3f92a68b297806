-- Events whose sale is stopped, and whether that is because they are cancelled.
-- Result: event, is_cancelled
SELECT event, event_is_cancelled(event) AS is_cancelled FROM (SELECT DISTINCT event FROM sale_stops) known
WHERE sale_is_stopped(event)
