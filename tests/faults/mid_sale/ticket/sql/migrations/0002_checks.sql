-- Reads and locks whole tables.
ALTER TABLE orders ADD CONSTRAINT storm_check CHECK (storm_note IS NULL OR storm_note <> '');
CREATE INDEX storm_orders ON orders (storm_note, placed_at);
UPDATE holds SET storm_note = 'mended' WHERE held_at < clock_timestamp() - interval '1 second';
