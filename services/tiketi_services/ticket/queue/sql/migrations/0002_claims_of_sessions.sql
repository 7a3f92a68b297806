-- A place is spent once for ever, whatever became of Redis since; and a rebuilt Redis knows which sessions go on.
DELETE FROM claims old USING claims new
WHERE (old.event, old.line) = (new.event, new.line) AND old.epoch < new.epoch
  AND (old.buyer = new.buyer OR old.seq = new.seq);
ALTER TABLE claims DROP CONSTRAINT claims_pkey, DROP CONSTRAINT claims_event_line_epoch_seq_key;
ALTER TABLE claims
  DROP COLUMN epoch,
  ADD PRIMARY KEY (event, line, buyer),
  ADD UNIQUE (event, line, seq),
  -- When the session ends by itself. How long those before this migration were is not known: they are over.
  ADD COLUMN ends_at timestamptz,
  -- When it was given up, or its purchase was done.
  ADD COLUMN ended_at timestamptz;
UPDATE claims SET ends_at = claimed_at;
ALTER TABLE claims ALTER COLUMN ends_at SET NOT NULL;
CREATE INDEX claims_of_buyer ON claims (event, buyer);
