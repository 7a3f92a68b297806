-- More time for a hold; the function says how and why.
-- $1 event  $2 buyer  $3 hold  $4 duration from now  $5 most extensions  $6 longest time of a hold in all
-- $7 time left that is enough. Result: outcome, and the columns of the hold (null if it is unknown).
SELECT outcome, (kept).* FROM extend_hold($1, $2, $3, $4, $5, $6, $7)
