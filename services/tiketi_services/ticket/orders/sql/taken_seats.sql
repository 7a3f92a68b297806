-- Seats of an event that nobody can hold now. $1 event. Result: seat, state, hold, buyer, until (null unless HELD).
SELECT seat, state, hold, buyer, until FROM seats
WHERE event = $1 AND (state <> 'HELD' OR until > clock_timestamp())
