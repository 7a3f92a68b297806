-- Reads and locks whole tables.
ALTER TABLE attempts ADD CONSTRAINT storm_check CHECK (storm_note <> '');
CREATE INDEX storm_attempts ON attempts (storm_note, created_at);
