-- Have messages sent again, as they are, whose refunds payment has not answered. They are as if new: the outbox counts their
-- age from now on, and does not delete them soon. $1 how long payment may be silent  $2 most. Result: refunds.
WITH silent AS (
  SELECT o.id FROM refunds r JOIN outbox o ON o.key = 'refund.requested' AND o.body ->> 'refund' = r.id::text
  WHERE r.state = 'REQUESTED' AND r.requested_at < clock_timestamp() - $1::interval
    AND o.sent_at < clock_timestamp() - $1::interval
  ORDER BY o.sent_at LIMIT $2 FOR UPDATE OF o SKIP LOCKED
)
UPDATE outbox o SET sent_at = NULL, created_at = clock_timestamp()
FROM silent WHERE o.id = silent.id RETURNING o.body ->> 'refund' AS refund
