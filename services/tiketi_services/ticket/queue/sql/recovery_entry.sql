-- What is to know before Redis is asked whether it lost the event. No row: the event is unknown or was deleted.
-- $1 event
-- Result: epoch, is_taken (somebody is building its memory), lines
SELECT epoch, coalesce(recovering_until > clock_timestamp(), false) AS is_taken,
  array(SELECT line FROM lines WHERE lines.event = events.event) AS lines
FROM events WHERE event = $1 AND gone_at IS NULL
