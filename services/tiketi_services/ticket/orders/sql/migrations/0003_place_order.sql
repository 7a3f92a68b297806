-- Turn a live hold into an order that waits for payment, once for each idempotency key and once for each hold.
--
-- p_version is the sheet that p_sections, p_prices (same places), p_currency, p_title and p_pay_within were read from.
-- ``outcome``: placed (``placed`` is the order; the same for the same key and hold, however often it is asked) |
-- key-reused (the key belongs to another hold's order) | in-flight (the same key is being worked on) |
-- ordered (the hold is order ``placed`` under another key) | expired (the hold is not live, or not this buyer's) |
-- stale-sheet. Raises TK001 when only some of the seats are still the hold's: nothing is kept.
--
-- The seats are compared with buyer, fence and time in the statement that changes them, once their rows are locked: a
-- process that slept past the end of the hold finds a greater fence, or none, and changes nothing. The buyer's row is
-- locked first for the sake of the limit (see hold_seats).
CREATE FUNCTION place_order(
  p_event text, p_version bigint, p_sections text[], p_prices bigint[], p_currency text, p_title text,
  p_pay_within interval, p_buyer text, p_hold uuid, p_order uuid, p_key text,
  OUT outcome text, OUT placed orders
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_hold holds;
  v_seat text;
  v_moved integer := 0;
  v_now timestamptz;
  v_pay_by timestamptz;
  v_prices bigint[];
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended(p_buyer || ' ' || p_key, 0)) THEN
    outcome := 'in-flight';
    RETURN;
  END IF;
  SELECT o.* INTO placed FROM orders o WHERE o.buyer = p_buyer AND o.idempotency_key = p_key;
  IF FOUND THEN
    outcome := CASE WHEN placed.hold = p_hold AND placed.event = p_event THEN 'placed' ELSE 'key-reused' END;
    RETURN;
  END IF;
  IF p_version IS DISTINCT FROM (SELECT max(x.version) FROM sale_sheets x WHERE x.event = p_event) THEN
    outcome := 'stale-sheet';
    RETURN;
  END IF;

  PERFORM FROM buyer_counts b WHERE b.event = p_event AND b.buyer = p_buyer FOR UPDATE;
  SELECT h.* INTO v_hold FROM holds h WHERE h.id = p_hold AND h.event = p_event AND h.buyer = p_buyer;
  SELECT o.* INTO placed FROM orders o WHERE o.hold = v_hold.id;
  IF FOUND THEN
    outcome := 'ordered';
    RETURN;
  END IF;
  v_now := clock_timestamp();
  FOREACH v_seat IN ARRAY coalesce(v_hold.seats, '{}') LOOP
    UPDATE seats s SET state = 'PLACED', until = NULL, order_id = p_order
    WHERE s.event = p_event AND s.seat = v_seat
      AND s.state = 'HELD' AND s.buyer = p_buyer AND s.fence = v_hold.fence AND s.until > clock_timestamp();
    v_moved := v_moved + FOUND::integer;
  END LOOP;
  IF v_moved = 0 THEN
    outcome := 'expired';
    RETURN;
  END IF;
  IF v_moved < cardinality(v_hold.seats) THEN
    PERFORM refuse('part of a hold');
  END IF;

  v_prices := ARRAY(
    SELECT price.price FROM unnest(v_hold.seats) WITH ORDINALITY AS wanted (seat, place)
    JOIN unnest(p_sections, p_prices) AS price (section, price) ON price.section = split_part(wanted.seat, '-', 1)
    ORDER BY wanted.place
  );
  -- Whole seconds: the signed intent says the same instant in seconds.
  v_pay_by := date_trunc('second', v_now + p_pay_within);
  INSERT INTO orders AS o (
    id, event, buyer, hold, fence, seats, prices, amount, currency, name, version, idempotency_key,
    placed_at, pay_by, close_at
  ) VALUES (
    p_order, p_event, p_buyer, p_hold, v_hold.fence, v_hold.seats, v_prices,
    (SELECT sum(price) FROM unnest(v_prices) price), p_currency,
    left(p_title, 90) || CASE WHEN v_moved > 1 THEN ' × ' || v_moved ELSE '' END, p_version, p_key,
    v_now, v_pay_by, v_pay_by
  ) RETURNING o.* INTO placed;

  INSERT INTO outbox (id, key, body) SELECT message.id, 'order.placed', jsonb_build_object(
    'id', message.id, 'version', 1, 'key', 'order.placed', 'at', v_now, 'order', p_order, 'event', p_event,
    'buyer', p_buyer, 'seats', placed.seats, 'amount', placed.amount, 'currency', placed.currency,
    'orderName', placed.name, 'payBy', placed.pay_by
  ) FROM (SELECT gen_random_uuid() AS id) message;
  outcome := 'placed';
END
$$;
