-- Webhooks are hints: what came, once each, and which attempts are looked at again because of them.

CREATE TABLE webhooks (
  transmission_id text PRIMARY KEY,
  attempt_id      uuid NOT NULL REFERENCES attempts,
  retried_count   int NOT NULL,
  body            bytea NOT NULL, -- as it came
  received_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX webhooks_of_attempt ON webhooks (attempt_id);
CREATE INDEX webhooks_by_age ON webhooks (received_at);

ALTER TABLE attempts
  ADD COLUMN hinted_at     timestamptz,            -- when to look because a webhook came; none if that was done
  ADD COLUMN hinted_looks  int NOT NULL DEFAULT 0, -- looks made because of webhooks
  ADD COLUMN looking_until timestamptz,            -- one look-up at a time: no other before this
  ADD COLUMN alarmed_at    timestamptz;            -- when somebody was last told that its answer is not known
CREATE INDEX attempts_hinted ON attempts (hinted_at)
  WHERE hinted_at IS NOT NULL AND state IN ('CONFIRMING', 'UNKNOWN');
CREATE INDEX attempts_under_way_since ON attempts (confirming_at) WHERE state IN ('CONFIRMING', 'UNKNOWN');

-- An attempt that ended because its payment key is another's gives the key back.
ALTER TABLE attempts DROP CONSTRAINT attempts_check;
ALTER TABLE attempts ADD CONSTRAINT attempts_bound_once_begun CHECK (
  CASE state WHEN 'READY' THEN payment_key IS NULL WHEN 'REFUSED' THEN true ELSE payment_key IS NOT NULL END
);
