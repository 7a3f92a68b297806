-- Make room for an event's seat map. $1 event.
INSERT INTO seat_maps (event) VALUES ($1) ON CONFLICT DO NOTHING
