-- Seats of an event that look taken: nobody can hold them now, or they linger. $1 event.
-- Result: seat, state, hold, buyer, until (null unless HELD).
SELECT seat, state, hold, buyer, until FROM seats
WHERE event = $1 AND (state <> 'HELD' OR until + linger > clock_timestamp())
