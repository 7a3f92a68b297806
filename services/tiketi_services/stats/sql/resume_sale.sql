-- In ticket's database: lift the stop of an event's sale, if it is stopped. $1 event  $2 by whom  $3 reason
-- $4 what was found and is accepted as it is. Result: one row if it was lifted now.
INSERT INTO sale_stops (event, action, "by", reason, facts)
SELECT $1, 'RESUME', $2, $3, $4 WHERE sale_is_stopped($1)
RETURNING id
