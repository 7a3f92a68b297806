-- Admit a buyer past the line, once: whoever has a claim keeps it. Redis never hears of these claims (their numbers are
-- below zero, which no recovery reads), so there is nothing to fence.
-- $1 event  $2 line  $3 buyer  $4 session to begin  $5 its length
INSERT INTO claims (event, line, buyer, session, seq, claimed_at, ends_at)
SELECT $1, $2, $3, $4, nextval('places_past_the_line'), began, began + $5::interval
FROM (SELECT date_trunc('milliseconds', clock_timestamp()) AS began) AS now
ON CONFLICT DO NOTHING
