-- What goes back of a paid order because ticket has voided tickets. The row is there before the vendor is called, and so
-- are the idempotency key and the balance that the call is bound to.
CREATE TABLE refunds (
  -- Ticket's name for it; it stands in the cancel's reason at the vendor as well.
  refund_id       uuid PRIMARY KEY,
  order_id        uuid NOT NULL REFERENCES orders,
  payment_key     text NOT NULL,
  amount          bigint NOT NULL CHECK (amount > 0),
  reason          text NOT NULL,
  state           text NOT NULL DEFAULT 'REQUESTED' CHECK (state IN ('REQUESTED', 'CALLED', 'DONE')),
  -- Balance of the payment that the call was made for: with another one the vendor does nothing.
  locked_balance  bigint,
  calls           int NOT NULL DEFAULT 1,
  idempotency_key text UNIQUE,
  code            text,
  -- The vendor refuses it: somebody must look. It is tried again, rarely.
  is_refused      boolean NOT NULL DEFAULT false,
  tries           int NOT NULL DEFAULT 0,
  try_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  done_at         timestamptz,
  -- What the vendor had left of the payment afterwards.
  balance         bigint,
  CHECK ((state = 'DONE') = (done_at IS NOT NULL AND balance IS NOT NULL)),
  CHECK (state <> 'CALLED' OR (locked_balance >= amount AND idempotency_key IS NOT NULL))
);
CREATE INDEX refunds_of_order ON refunds (order_id);
CREATE INDEX refunds_of_payment ON refunds (payment_key);
CREATE INDEX refunds_to_do ON refunds (try_at) WHERE state <> 'DONE';
-- One at a time may change a payment's balance.
CREATE UNIQUE INDEX refunds_one_called ON refunds (payment_key) WHERE state = 'CALLED';
