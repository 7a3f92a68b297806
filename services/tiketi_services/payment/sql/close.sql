-- Close an open order unless an attempt is under way. Only with the order's lock held, taken by an earlier statement: a
-- statement does not see attempts that were committed while it waited for a lock.
-- $1 order
UPDATE orders SET state = 'CLOSED', closed_at = clock_timestamp()
WHERE order_id = $1 AND state = 'OPEN'
  AND NOT EXISTS (SELECT FROM attempts WHERE order_id = $1 AND attempts.state IN ('CONFIRMING', 'UNKNOWN'))
