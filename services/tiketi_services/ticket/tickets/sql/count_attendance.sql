-- How many tickets are in which state, used ones by gate. $1 event. Result: state, gate (null unless used), tickets.
SELECT state, gate, count(*) AS tickets FROM tickets WHERE event = $1 AND state <> 'VOID' GROUP BY state, gate
UNION ALL
SELECT 'VOID', NULL, count(*) FROM tickets WHERE event = $1 AND state = 'VOID'
