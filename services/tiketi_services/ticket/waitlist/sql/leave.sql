-- Give up a place; the function says how. $1 event  $2 buyer. Result: outcome, hold, freed (seats).
SELECT outcome, hold, freed FROM leave_waitlist($1, $2)
