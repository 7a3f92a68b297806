-- How much waits for too long: attempts whose end is not known, and charges that are not given back.
-- $1 how long is too long
SELECT
  (SELECT count(*) FROM attempts
   WHERE state IN ('CONFIRMING', 'UNKNOWN') AND confirming_at < clock_timestamp() - $1::interval) AS unknown,
  (SELECT count(*) FROM cancellations
   WHERE state = 'REQUESTED' AND created_at < clock_timestamp() - $1::interval) AS not_given_back
