-- How many refunds payment has not made for too long. $1 how long is too long.
SELECT count(*) FROM refunds WHERE state = 'REQUESTED' AND requested_at < clock_timestamp() - $1::interval
