-- The vendor's balance of the payment is zero.
-- $1 cancellation
UPDATE cancellations SET state = 'DONE', done_at = clock_timestamp() WHERE cancellation_id = $1 AND state = 'REQUESTED'
