-- Hold seats for who waits; the function says how and why.
-- $1 entry  $2 event  $3 version  $4 public line opens at  $5 closes at  $6 limit  $7 window  $8 hold  $9 seats, sorted.
-- Result: outcome, until, buyer.
SELECT outcome, until, buyer FROM offer_seats($1, $2, $3, $4, $5, $6, $7, $8, $9)
