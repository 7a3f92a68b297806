-- What messages told about each order. Columns are filled as facts arrive, in any sequence; nothing is ever taken back.
CREATE TABLE sales (
  order_id   uuid PRIMARY KEY,
  event      text NOT NULL,
  seats      text[],
  amount     bigint CHECK (amount >= 0), -- minor units of currency
  currency   text,
  placed_at  timestamptz,
  settled_at timestamptz,
  issued_at  timestamptz,
  closed_at  timestamptz,
  refusals   integer NOT NULL DEFAULT 0,
  state      text NOT NULL GENERATED ALWAYS AS (
    CASE
      WHEN issued_at IS NOT NULL THEN 'issued'
      WHEN closed_at IS NOT NULL THEN 'closed'
      WHEN settled_at IS NOT NULL THEN 'paid'
      ELSE 'placed'
    END) STORED
);
CREATE INDEX sales_by_event ON sales (event);
CREATE INDEX sales_open ON sales (event) WHERE state IN ('placed', 'paid');

-- Ids of messages that were applied (tiketi_runtime.outbox).
CREATE TABLE inbox (
  id         uuid PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
