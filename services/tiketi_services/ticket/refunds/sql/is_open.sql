-- Whether a message of the outbox is of a refund that payment has not made. A condition on a row of outbox.
key = 'refund.requested' AND EXISTS (
  SELECT FROM refunds r WHERE r.id::text = outbox.body ->> 'refund' AND r.state = 'REQUESTED')
