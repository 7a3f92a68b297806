-- Our books against the vendor's transactions list, day by day; and what did not agree.

CREATE TABLE reconciliations (
  day          date PRIMARY KEY, -- Korean, as the vendor's
  leased_until timestamptz NOT NULL,
  finished_at  timestamptz,
  transactions int,
  findings     int
);
CREATE INDEX reconciliations_finished ON reconciliations (day) WHERE finished_at IS NOT NULL;

-- One row for each payment and kind of disagreement, for ever. gone_at: a later run of the day found it mended.
CREATE TABLE findings (
  payment_key     text NOT NULL,
  kind            text NOT NULL,
  day             date NOT NULL,
  vendor_order_id text,
  attempt_id      uuid REFERENCES attempts,
  told            text NOT NULL, -- both sides, for people
  action          text NOT NULL CHECK (action IN ('recorded', 'applied', 'cancelled')),
  first_seen_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  gone_at         timestamptz,
  PRIMARY KEY (payment_key, kind)
);
CREATE INDEX findings_open ON findings (kind) WHERE gone_at IS NULL;
CREATE INDEX findings_of_day ON findings (day);

-- An attempt may have a cancellation of a charge that is not its own, besides that of its own.
ALTER TABLE cancellations DROP CONSTRAINT cancellations_attempt_id_key;
CREATE INDEX cancellations_of_attempt ON cancellations (attempt_id);
CREATE INDEX attempts_done_at ON attempts (ended_at) WHERE state = 'DONE';
