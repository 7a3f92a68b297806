-- The vendor is about to be called. $1 refund  $2 balance the call is bound to  $3 number of the call
-- $4 idempotency key. Result: one row if it may be.
UPDATE refunds SET state = 'CALLED', locked_balance = $2, calls = $3, idempotency_key = $4
WHERE refund_id = $1 AND state <> 'DONE' RETURNING refund_id
