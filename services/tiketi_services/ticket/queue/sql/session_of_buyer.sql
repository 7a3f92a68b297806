-- The session that a buyer's place was spent for. $1 event  $2 line  $3 buyer
-- Result: session, ends_at, is_live; no row if the place was not spent
SELECT session, ends_at, ended_at IS NULL AND ends_at > clock_timestamp() AS is_live
FROM claims WHERE event = $1 AND line = $2 AND buyer = $3
