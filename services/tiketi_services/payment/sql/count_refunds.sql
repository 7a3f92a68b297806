-- Refunds that the vendor refuses, and those that are not made for too long. $1 how long is too long.
SELECT count(*) FILTER (WHERE is_refused) AS refused,
  count(*) FILTER (WHERE created_at < clock_timestamp() - $1::interval) AS overdue
FROM refunds WHERE state <> 'DONE'
