-- Payment's own truth: orders as ticket told them, attempts to pay them, one outcome each, and what must go back.

CREATE TABLE orders (
  order_id   uuid PRIMARY KEY,
  state      text NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'PAID', 'CLOSED', 'REFUNDED')),
  event      text,
  buyer      text,
  amount     bigint CHECK (amount > 0),
  currency   text,
  order_name text,
  pay_by     timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at  timestamptz,
  -- An order may be closed before anything else is known of it, and is then closed for ever.
  CHECK (state = 'CLOSED' OR num_nulls(event, buyer, amount, currency, order_name, pay_by) = 0)
);

CREATE TABLE attempts (
  attempt_id      uuid PRIMARY KEY,
  order_id        uuid NOT NULL REFERENCES orders,
  vendor_order_id text NOT NULL UNIQUE,
  state           text NOT NULL DEFAULT 'READY'
                  CHECK (state IN ('READY', 'CONFIRMING', 'DONE', 'REFUSED', 'UNKNOWN')),
  payment_key     text UNIQUE,
  calls           int NOT NULL DEFAULT 0,
  idempotency_key text UNIQUE,
  code            text,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  confirming_at   timestamptz,
  ended_at        timestamptz,
  looks           int NOT NULL DEFAULT 0,
  look_at         timestamptz,
  CHECK ((state = 'READY') = (payment_key IS NULL)),
  CHECK ((state IN ('DONE', 'REFUSED')) = (ended_at IS NOT NULL))
);
CREATE INDEX attempts_of_order ON attempts (order_id);
CREATE UNIQUE INDEX attempts_one_under_way ON attempts (order_id) WHERE state IN ('CONFIRMING', 'UNKNOWN');
CREATE INDEX attempts_to_look_at ON attempts (look_at) WHERE state IN ('CONFIRMING', 'UNKNOWN');

-- The outcome of an order is one row for ever.
CREATE TABLE outcomes (
  order_id    uuid PRIMARY KEY REFERENCES orders,
  attempt_id  uuid NOT NULL UNIQUE REFERENCES attempts,
  status      text NOT NULL CHECK (status = 'PAID'),
  amount      bigint NOT NULL,
  currency    text NOT NULL,
  payment_key text NOT NULL UNIQUE,
  jws         text NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is insert-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER outcomes_insert_only BEFORE UPDATE OR DELETE ON outcomes
  FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Charged, and not the order's outcome: goes back in full. The row is there before the vendor is called.
CREATE TABLE cancellations (
  cancellation_id uuid PRIMARY KEY,
  attempt_id      uuid NOT NULL UNIQUE REFERENCES attempts,
  payment_key     text NOT NULL UNIQUE,
  reason          text NOT NULL,
  state           text NOT NULL DEFAULT 'REQUESTED' CHECK (state IN ('REQUESTED', 'DONE')),
  calls           int NOT NULL DEFAULT 1,
  code            text,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  done_at         timestamptz,
  tries           int NOT NULL DEFAULT 0,
  try_at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cancellations_to_do ON cancellations (try_at) WHERE state = 'REQUESTED';

CREATE TABLE outbox (
  id         uuid PRIMARY KEY,
  key        text NOT NULL,
  body       jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  sent_at    timestamptz
);
CREATE INDEX outbox_unsent ON outbox (created_at) WHERE sent_at IS NULL;

CREATE TABLE inbox (
  id         uuid PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
