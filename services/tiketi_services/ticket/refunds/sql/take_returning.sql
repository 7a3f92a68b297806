-- Seats on their way back to the sale that nobody was offered yet. $1 most. Result: refunds, oldest first.
SELECT id, event, seats, free_at FROM refunds
WHERE offered_at IS NULL ORDER BY requested_at LIMIT $1
