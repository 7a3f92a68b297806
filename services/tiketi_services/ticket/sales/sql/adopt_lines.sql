-- Know the lines of an event; marks of known ones are kept.
-- $1 event  $2 names
INSERT INTO lines (event, line) SELECT $1, name FROM unnest($2::text[]) AS name ON CONFLICT DO NOTHING
