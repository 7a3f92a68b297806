-- Wait for seats of a sold-out event; the function says how and why.
-- $1 event  $2 version  $3 public line opens at  $4 closes at  $5 buyer  $6 id of the entry if it is new  $7 sections
-- $8 their sizes  $9 quantity. Result: outcome, free (sections), and the columns of the entry (null without one).
SELECT outcome, free, (entry).* FROM join_waitlist($1, $2, $3, $4, $5, $6, $7, $8, $9)
