-- Seats of orders whose tickets are not issued yet and that are not closed.
-- $1 events text[]
-- Result: event, seats text[]
SELECT event, array_agg(seat) AS seats
FROM sales CROSS JOIN LATERAL unnest(seats) AS seat
WHERE event = ANY ($1) AND state IN ('placed', 'paid')
GROUP BY event
