-- Whether there ever was an event; rows of deleted ones stay. $1 event
SELECT EXISTS (SELECT FROM events WHERE event = $1)
