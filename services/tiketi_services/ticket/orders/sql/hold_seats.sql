-- Give a buyer all of the wanted seats, or none; the function says how and why.
-- $1 event  $2 version  $3 line opens at  $4 line closes at  $5 limit  $6 duration  $7 buyer  $8 line  $9 hold
-- $10 seats, sorted. Result: one row of outcome, until, taken, live.
SELECT outcome, until, taken, live FROM hold_seats($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
