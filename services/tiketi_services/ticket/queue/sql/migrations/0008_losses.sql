-- Losses of Redis' memory of a line: who waited then has to come back with the receipt. A draw whose entries are missing by
-- one says so, and is held to it.
CREATE TABLE line_losses (
  event text NOT NULL,
  line text NOT NULL,
  -- From which epoch on receipts were given out after it.
  epoch integer NOT NULL,
  lost_at timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
  -- No higher number had been given out; every new one is higher.
  numbers_to bigint NOT NULL CHECK (numbers_to > 0),
  -- How many waited, as noted last.
  waiting bigint NOT NULL,
  PRIMARY KEY (event, line, epoch)
);
ALTER TABLE draws
  -- Before this table nobody noted losses: draws that were begun then do not say that there were none.
  ADD COLUMN tells_losses boolean NOT NULL DEFAULT false,
  -- Fixed with the root: [{epoch, at, numbersTo, waiting}].
  ADD COLUMN losses jsonb,
  ADD CHECK (losses IS NULL OR (tells_losses AND root IS NOT NULL));
ALTER TABLE draws ALTER COLUMN tells_losses SET DEFAULT true;
