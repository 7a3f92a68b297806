-- Beginning a line, going on with a recreated object and recovering from a loss of Redis are one thing: each time Redis'
-- memory of an event is built anew, by one process at a time, the epoch grows. 0: never built.
ALTER TABLE events DROP CONSTRAINT events_epoch_check;
ALTER TABLE events
  ALTER COLUMN epoch SET DEFAULT 0,
  ADD CHECK (epoch >= 0),
  DROP COLUMN founded_at,
  -- Until when the others leave it alone to whoever builds the memory of this epoch.
  ADD COLUMN recovering_until timestamptz,
  -- Claims that were decided in an earlier epoch come too late to be kept: Redis was rebuilt without them.
  ADD COLUMN claims_since integer NOT NULL DEFAULT 0,
  -- Whether the marks were raised for a memory that has never been opened: another attempt may use them.
  ADD COLUMN is_fresh boolean NOT NULL DEFAULT false;
ALTER TABLE lines
  DROP COLUMN epoch,
  -- How many waited when somebody last looked, a few seconds ago.
  ADD COLUMN living bigint NOT NULL DEFAULT 0;
