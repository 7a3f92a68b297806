-- Columns on every table that buyers write, all locked for as long as a large table might take.
ALTER TABLE seats ADD COLUMN storm_note text;
ALTER TABLE holds ADD COLUMN storm_note text DEFAULT 'storm';
ALTER TABLE orders ADD COLUMN storm_note text;
ALTER TABLE tickets ADD COLUMN storm_note text;
SELECT pg_sleep(1);
