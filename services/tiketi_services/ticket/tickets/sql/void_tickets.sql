-- Tickets that must not be let in any more. $1 event. Result: ids, sorted.
SELECT id FROM tickets WHERE event = $1 AND state = 'VOID' ORDER BY id
