-- Tickets that were given back, and what became of the money.

-- One row is what one request gave back of one order. Only ever added to, but for state, done_at and offered_at.
CREATE TABLE refunds (
  id uuid PRIMARY KEY,
  order_id uuid NOT NULL REFERENCES orders,
  event text NOT NULL,
  buyer text NOT NULL,
  reason text NOT NULL CHECK (reason IN ('buyer', 'organiser', 'event-cancelled')),
  -- Account that asked, with its key, and the tickets it named (null: all).
  requested_by text NOT NULL,
  idempotency_key text NOT NULL,
  wanted uuid[],
  tickets uuid[] NOT NULL CHECK (cardinality(tickets) > 0),
  seats text[] NOT NULL CHECK (cardinality(seats) = cardinality(tickets)),
  -- Sum of the tickets' prices, minor units of the currency.
  amount bigint NOT NULL CHECK (amount >= 0),
  currency text NOT NULL,
  state text NOT NULL DEFAULT 'REQUESTED' CHECK (state IN ('REQUESTED', 'DONE')),
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  done_at timestamptz,
  -- When the seats are free for everybody: nobody is told.
  free_at timestamptz NOT NULL,
  -- When those who wait were offered the seats.
  offered_at timestamptz,
  UNIQUE (requested_by, idempotency_key, order_id),
  CHECK ((state = 'DONE') = (done_at IS NOT NULL))
);
CREATE INDEX refunds_of_order ON refunds (order_id, requested_at);
CREATE INDEX refunds_of_event ON refunds (event);
CREATE INDEX refunds_to_offer ON refunds (requested_at) WHERE offered_at IS NULL;

-- Events that do not take place. The mark stays: what is paid later is given back as well.
CREATE TABLE cancelled_events (
  event text PRIMARY KEY,
  cancelled_by text NOT NULL,
  cancelled_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Void tickets of one order and ask payment to give their price back, once for each key.
--
-- p_buyer is the buyer who asks (null: the organiser, who may at any time), p_event the organiser's event (null: any).
-- p_tickets are those wanted; null: all that are not void. p_skips_used: leave used ones, instead of refusing.
-- The seats are free for everybody at a random moment between p_soonest and p_latest from now: who gives a ticket back
-- cannot have a friend there at the second.
--
-- ``outcome``: requested | repeated (the key's own refund) | key-reused | in-flight | unknown-order | not-paid |
-- no-refunds | too-late | unknown-tickets | not-issued. ``refund`` is there with the first two; ``used``, ``void`` and
-- ``missing`` name tickets; ``refunds_until`` is the sale's. Raises TK001 when a seat is not the order's: nothing is kept.
--
-- Locked are the order, then its tickets, then its seats, each sorted. Check-in changes one ticket WHERE ISSUED, as
-- this does: whoever comes second finds nothing.
CREATE FUNCTION request_refund(
  p_refund uuid, p_order uuid, p_buyer text, p_event text, p_by text, p_key text, p_reason text, p_tickets uuid[],
  p_skips_used boolean, p_soonest interval, p_latest interval,
  OUT outcome text, OUT refund refunds, OUT used uuid[], OUT void uuid[], OUT missing uuid[],
  OUT refunds_until timestamptz
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_order orders;
  v_given tickets[];
  v_ids uuid[];
  v_seats text[];
  v_seat text;
  v_fence bigint;
  v_free_at timestamptz;
  v_amount bigint;
  v_count integer;
  v_now timestamptz;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('refund ' || p_by || ' ' || p_key, 0)) THEN
    outcome := 'in-flight';
    RETURN;
  END IF;
  SELECT r.* INTO refund FROM refunds r
  WHERE r.requested_by = p_by AND r.idempotency_key = p_key ORDER BY r.order_id <> p_order LIMIT 1;
  IF FOUND THEN
    IF refund.order_id = p_order THEN
      outcome := CASE
        WHEN refund.wanted IS NOT DISTINCT FROM p_tickets AND refund.reason = p_reason THEN 'repeated'
        ELSE 'key-reused' END;
      RETURN;
    ELSIF p_buyer IS NOT NULL OR refund.reason <> p_reason THEN
      outcome := 'key-reused';
      RETURN;
    END IF;
    refund := NULL;
  END IF;

  SELECT o.* INTO v_order FROM orders o
  WHERE o.id = p_order AND (p_buyer IS NULL OR o.buyer = p_buyer) AND (p_event IS NULL OR o.event = p_event)
  FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'unknown-order';
    RETURN;
  END IF;
  IF v_order.state NOT IN ('PAID', 'REFUNDED') THEN
    outcome := 'not-paid';
    RETURN;
  END IF;
  IF p_buyer IS NOT NULL THEN
    refunds_until := (
      SELECT (x.content ->> 'refundsUntil')::timestamptz FROM sale_sheets x
      WHERE x.event = v_order.event ORDER BY x.version DESC LIMIT 1
    );
    IF refunds_until IS NULL OR clock_timestamp() >= refunds_until THEN
      outcome := CASE WHEN refunds_until IS NULL THEN 'no-refunds' ELSE 'too-late' END;
      RETURN;
    END IF;
  END IF;

  v_given := ARRAY(
    SELECT t FROM tickets t WHERE t.order_id = p_order AND (p_tickets IS NULL OR t.id = ANY (p_tickets))
    ORDER BY t.seat, t.id FOR UPDATE
  );
  missing := ARRAY(
    SELECT wanted FROM unnest(p_tickets) wanted WHERE NOT EXISTS (SELECT FROM unnest(v_given) t WHERE t.id = wanted)
  );
  used := ARRAY(SELECT t.id FROM unnest(v_given) t WHERE t.state = 'USED');
  void := ARRAY(SELECT t.id FROM unnest(v_given) t WHERE t.state = 'VOID');
  SELECT array_agg(t.id ORDER BY t.seat), array_agg(t.seat::text ORDER BY t.seat), sum(t.price)
  INTO v_ids, v_seats, v_amount FROM unnest(v_given) t WHERE t.state = 'ISSUED';
  IF cardinality(missing) > 0 THEN
    outcome := 'unknown-tickets';
    RETURN;
  END IF;
  IF v_ids IS NULL OR (cardinality(used) > 0 AND NOT p_skips_used)
    OR (cardinality(void) > 0 AND p_tickets IS NOT NULL) THEN
    outcome := 'not-issued';
    RETURN;
  END IF;

  v_now := clock_timestamp();
  UPDATE tickets t SET state = 'VOID', voided_at = v_now WHERE t.id = ANY (v_ids) AND t.state = 'ISSUED';
  GET DIAGNOSTICS v_count = ROW_COUNT;
  IF v_count < cardinality(v_ids) THEN
    PERFORM refuse('ticket used meanwhile');
  END IF;
  -- Nobody holds the seats, for a while: as any hold they are free when that is over, and nobody has to be awake.
  v_fence := nextval('fences');
  v_free_at := v_now + p_soonest + (p_latest - p_soonest) * random();
  FOREACH v_seat IN ARRAY v_seats LOOP
    UPDATE seats s SET
      state = 'HELD', order_id = NULL, buyer = '', hold = p_refund, fence = v_fence, until = v_free_at, linger = '0'
    WHERE s.event = v_order.event AND s.seat = v_seat AND s.order_id = p_order AND s.state = 'SOLD';
    IF NOT FOUND THEN
      PERFORM refuse('order without its seats');
    END IF;
  END LOOP;

  INSERT INTO refunds AS r (
    id, order_id, event, buyer, reason, requested_by, idempotency_key, wanted, tickets, seats, amount, currency,
    state, requested_at, done_at, free_at
  ) VALUES (
    p_refund, p_order, v_order.event, v_order.buyer, p_reason, p_by, p_key, p_tickets, v_ids, v_seats, v_amount,
    v_order.currency, CASE WHEN v_amount = 0 THEN 'DONE' ELSE 'REQUESTED' END, v_now,
    CASE WHEN v_amount = 0 THEN v_now END, v_free_at
  ) RETURNING r.* INTO refund;
  IF v_amount > 0 THEN
    INSERT INTO outbox (id, key, body) SELECT message.id, 'refund.requested', jsonb_build_object(
      'id', message.id, 'version', 1, 'key', 'refund.requested', 'at', v_now, 'order', p_order, 'event', v_order.event,
      'refund', p_refund, 'buyer', v_order.buyer, 'seats', v_seats, 'amount', v_amount, 'currency', v_order.currency,
      'reason', p_reason
    ) FROM (SELECT gen_random_uuid() AS id) message;
  END IF;
  outcome := 'requested';
END
$$;
