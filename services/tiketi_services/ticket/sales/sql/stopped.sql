-- Events whose sale is stopped.
-- Result: event
SELECT DISTINCT event FROM sale_stops WHERE sale_is_stopped(event)
