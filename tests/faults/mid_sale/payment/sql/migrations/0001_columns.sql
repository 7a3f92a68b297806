-- Columns on every table that payments write, all locked for as long as a large table might take.
ALTER TABLE orders ADD COLUMN storm_note text;
ALTER TABLE attempts ADD COLUMN storm_note text DEFAULT 'storm';
ALTER TABLE refunds ADD COLUMN storm_note text;
SELECT pg_sleep(1);
