-- Decide one scan, and write it down; the function says how and why.
-- $1 event  $2 ticket, or null  $3 what is wrong with the code, or null  $4 gate  $5 scanner  $6 key of the scan.
-- Result: outcome, used_at, used_gate, voided.
SELECT outcome, used_at, used_gate, voided FROM scan_ticket($1, $2, $3, $4, $5, $6)
