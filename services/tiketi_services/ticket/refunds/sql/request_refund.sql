-- Void tickets of one order and ask payment for their price; see request_refund in migrations/0001_refunds.sql.
-- $1 refund  $2 order  $3 buyer or null  $4 event or null  $5 who asks  $6 idempotency key  $7 reason
-- $8 tickets, or null for all  $9 whether used ones are left out  $10 soonest and $11 latest return of the seats
SELECT r.outcome, r.used, r.void, r.missing, r.refunds_until, (r.refund).*
FROM request_refund($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) r
