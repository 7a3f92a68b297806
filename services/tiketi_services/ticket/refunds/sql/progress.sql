-- How far the refunds of an event are. $1 event. Result: one row.
SELECT
  (SELECT cancelled_at FROM cancelled_events WHERE event = $1) AS cancelled_at,
  (SELECT count(*) FROM tickets WHERE event = $1 AND state = 'ISSUED') AS issued,
  (SELECT count(*) FROM tickets WHERE event = $1 AND state = 'USED') AS used,
  count(*) FILTER (WHERE state = 'REQUESTED') AS under_way,
  count(*) FILTER (WHERE state = 'DONE') AS done,
  coalesce(sum(amount) FILTER (WHERE state = 'REQUESTED'), 0)::bigint AS amount_under_way,
  coalesce(sum(amount) FILTER (WHERE state = 'DONE'), 0)::bigint AS amount_done
FROM refunds WHERE event = $1
