-- What is owed to buyers. Names of seats sort by byte, so that every statement locks them in the same order.

CREATE SEQUENCE fences;

-- Every hold there ever was. Insert-only but for released_at: with this table the history of a seat can be checked.
CREATE TABLE holds (
  id uuid PRIMARY KEY,
  event text NOT NULL,
  buyer text NOT NULL,
  line text NOT NULL,
  -- The hold's own number, greater than that of any hold it takes a seat over from.
  fence bigint NOT NULL,
  seats text[] NOT NULL CHECK (cardinality(seats) > 0),
  held_at timestamptz NOT NULL,
  until timestamptz NOT NULL CHECK (until > held_at),
  released_at timestamptz
);

-- Seats that are not free. No row, or HELD with an ``until`` in the past, is a free seat.
CREATE TABLE seats (
  event text NOT NULL,
  seat text COLLATE "C" NOT NULL,
  state text NOT NULL CHECK (state IN ('HELD', 'PLACED', 'SOLD')),
  buyer text NOT NULL,
  hold uuid NOT NULL,
  -- The hold's fence. Who acts on a hold must still find it here.
  fence bigint NOT NULL,
  until timestamptz,
  order_id uuid,
  PRIMARY KEY (event, seat),
  -- A placed or sold seat never lapses: only its order frees it.
  CHECK ((state = 'HELD') = (until IS NOT NULL)),
  CHECK ((state = 'HELD') = (order_id IS NULL))
);
CREATE INDEX seats_of_buyer ON seats (event, buyer);
-- Not partial: a kept plan made while few seats are held would read all of them for ``state = 'HELD'``.
CREATE INDEX seats_expiring ON seats (until);

-- One row a buyer and event. It is the lock under which the buyer's seats are counted (see hold_seats), and its CHECK
-- is the last wall of the limit.
CREATE TABLE buyer_counts (
  event text NOT NULL,
  buyer text NOT NULL,
  taken integer NOT NULL,
  "limit" integer NOT NULL,
  PRIMARY KEY (event, buyer),
  CHECK (taken BETWEEN 0 AND "limit")
);

CREATE TABLE orders (
  id uuid PRIMARY KEY,
  event text NOT NULL,
  buyer text NOT NULL,
  hold uuid NOT NULL UNIQUE REFERENCES holds,
  fence bigint NOT NULL,
  state text NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'PAID', 'CLOSED', 'REFUNDED')),
  seats text[] NOT NULL,
  -- Price of each seat, minor units of the currency, in the order of seats.
  prices bigint[] NOT NULL CHECK (cardinality(prices) = cardinality(seats)),
  amount bigint NOT NULL CHECK (amount > 0),
  currency text NOT NULL,
  name text NOT NULL,
  -- The sale sheet the price was read from.
  version bigint NOT NULL,
  idempotency_key text NOT NULL,
  placed_at timestamptz NOT NULL,
  pay_by timestamptz NOT NULL,
  cancel_requested_at timestamptz,
  -- When payment is asked to close the order, while it is open.
  close_at timestamptz,
  payment_key text,
  ended_at timestamptz,
  UNIQUE (buyer, idempotency_key),
  CHECK ((state = 'OPEN') = (ended_at IS NULL)),
  CHECK ((state = 'OPEN') = (close_at IS NOT NULL)),
  CHECK (state NOT IN ('PAID', 'REFUNDED') OR payment_key IS NOT NULL)
);
CREATE INDEX orders_to_close ON orders (close_at);

CREATE TABLE tickets (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  event text NOT NULL,
  seat text COLLATE "C" NOT NULL,
  order_id uuid NOT NULL REFERENCES orders,
  buyer text NOT NULL,
  price bigint NOT NULL,
  state text NOT NULL DEFAULT 'ISSUED' CHECK (state IN ('ISSUED', 'VOID')),
  issued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  voided_at timestamptz
);
-- The last wall: whatever goes wrong above, a seat has one valid ticket.
CREATE UNIQUE INDEX tickets_one_a_seat ON tickets (event, seat) WHERE state = 'ISSUED';
CREATE INDEX tickets_of_buyer ON tickets (buyer, issued_at);
CREATE INDEX tickets_of_order ON tickets (order_id);

CREATE TABLE outbox (
  id uuid PRIMARY KEY,
  key text NOT NULL,
  body jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  sent_at timestamptz
);
CREATE INDEX outbox_unsent ON outbox (created_at) WHERE sent_at IS NULL;

CREATE TABLE inbox (
  id uuid PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Undo the statement that asks: what it found must not be.
CREATE FUNCTION refuse(p_reason text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', p_reason USING ERRCODE = 'TK001';
END
$$;

-- The seats of a paid order are sold, one by one in their order; TK001 unless every one of them is the order's.
CREATE FUNCTION sell_seats(p_event text, p_seats text[], p_order uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_seat text;
BEGIN
  FOREACH v_seat IN ARRAY p_seats LOOP
    UPDATE seats SET state = 'SOLD'
    WHERE event = p_event AND seat = v_seat AND order_id = p_order AND state = 'PLACED';
    IF NOT FOUND THEN
      RETURN refuse('order without its seats');
    END IF;
  END LOOP;
  RETURN true;
END
$$;

-- The seats of a closed order are free, one by one in their order; TK001 unless every one of them was the order's.
CREATE FUNCTION free_seats(p_event text, p_seats text[], p_order uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_seat text;
BEGIN
  FOREACH v_seat IN ARRAY p_seats LOOP
    DELETE FROM seats WHERE event = p_event AND seat = v_seat AND order_id = p_order AND state = 'PLACED';
    IF NOT FOUND THEN
      RETURN refuse('order without its seats');
    END IF;
  END LOOP;
  RETURN true;
END
$$;

-- What is left of a hold is free; returns the seats that were.
CREATE FUNCTION release_seats(p_event text, p_seats text[], p_fence bigint) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  v_seat text;
  v_freed text[] := '{}';
BEGIN
  FOREACH v_seat IN ARRAY p_seats LOOP
    DELETE FROM seats WHERE event = p_event AND seat = v_seat AND fence = p_fence AND state = 'HELD';
    IF FOUND THEN
      v_freed := v_freed || v_seat;
    END IF;
  END LOOP;
  RETURN v_freed;
END
$$;
