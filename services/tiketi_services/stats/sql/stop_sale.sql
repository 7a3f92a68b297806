-- In ticket's database: stop an event's sale, unless it is stopped. $1 event  $2 by whom  $3 reason  $4 facts
-- Result: one row if it was stopped now.
INSERT INTO sale_stops (event, action, "by", reason, facts)
SELECT $1, 'STOP', $2, $3, $4 WHERE NOT sale_is_stopped($1)
RETURNING id
