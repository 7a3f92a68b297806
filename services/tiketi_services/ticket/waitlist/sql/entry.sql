-- A buyer's last entry of an event, and what is offered to them. $1 event  $2 buyer.
-- Result: the entry; ``before``: entries in front that want some of the same sections; and while an offer stands,
-- offered (hold), seats and until. No row for who never joined.
SELECT e.*, o.id AS offered, o.seats, o.until, CASE WHEN e.ended_at IS NULL THEN (
  SELECT count(*) FROM waitlist_entries f
  WHERE f.event = e.event AND f.seq < e.seq AND f.state IN ('WAITING', 'RESTING', 'OFFERED') AND f.sections && e.sections
) END AS before
FROM (SELECT * FROM waitlist_entries WHERE event = $1 AND buyer = $2 ORDER BY seq DESC LIMIT 1) e
LEFT JOIN LATERAL (
  SELECT (n.hold).* FROM (SELECT successor(h) AS hold FROM holds h WHERE h.id = e.hold AND e.state = 'OFFERED') n
) o ON o.until > clock_timestamp() AND o.released_at IS NULL
