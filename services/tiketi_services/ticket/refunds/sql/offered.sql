-- Those who wait were offered the seats of a refund. $1 refund.
UPDATE refunds SET offered_at = clock_timestamp() WHERE id = $1 AND offered_at IS NULL
