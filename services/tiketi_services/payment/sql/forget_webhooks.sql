-- Forget a batch of the oldest webhooks.
-- $1 how long they are kept  $2 most
DELETE FROM webhooks WHERE transmission_id IN (
  SELECT transmission_id FROM webhooks WHERE received_at < clock_timestamp() - $1::interval
  ORDER BY received_at LIMIT $2
)
