-- What was an error of the server has an answer: a hold whose locks were waited for until it was over, and an order of a
-- section that is no longer for sale.

-- As in 0004_lasting_holds.sql, but that it raises TK001 if the hold ran out while its seats were waited for: nothing is
-- kept, ask again.
CREATE OR REPLACE FUNCTION hold_seats(
  p_event text, p_version bigint, p_opens_at timestamptz, p_closes_at timestamptz, p_limit integer, p_duration interval,
  p_buyer text, p_line text, p_hold uuid, p_seats text[],
  OUT outcome text, OUT until timestamptz, OUT taken text[], OUT live integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_fence bigint;
  v_held integer;
  v_linger interval;
  v_now timestamptz;
BEGIN
  IF p_version IS DISTINCT FROM (SELECT max(x.version) FROM sale_sheets x WHERE x.event = p_event) THEN
    outcome := 'stale-sheet';
    RETURN;
  END IF;
  IF clock_timestamp() < p_opens_at OR clock_timestamp() >= p_closes_at THEN
    outcome := 'closed';
    RETURN;
  END IF;

  -- Who comes too late leaves here, having locked and written nothing.
  taken := ARRAY(
    SELECT wanted FROM unnest(p_seats) wanted, LATERAL (
      SELECT FROM seats s
      WHERE s.event = p_event AND s.seat = wanted AND (s.state <> 'HELD' OR s.until > clock_timestamp())
      LIMIT 1
    ) present
  );
  IF cardinality(taken) > 0 THEN
    outcome := 'taken';
    RETURN;
  END IF;

  INSERT INTO buyer_counts (event, buyer, taken, "limit") VALUES (p_event, p_buyer, 0, p_limit) ON CONFLICT DO NOTHING;
  PERFORM FROM buyer_counts b WHERE b.event = p_event AND b.buyer = p_buyer FOR UPDATE;
  live := (
    SELECT count(*) FROM seats s
    WHERE s.event = p_event AND s.buyer = p_buyer AND (s.state <> 'HELD' OR s.until > clock_timestamp())
  );
  IF live + cardinality(p_seats) > p_limit THEN
    outcome := 'limit-reached';
    RETURN;
  END IF;
  UPDATE buyer_counts b SET taken = live + cardinality(p_seats), "limit" = p_limit
  WHERE b.event = p_event AND b.buyer = p_buyer;

  v_fence := nextval('fences');
  v_linger := p_duration / 10 * random();
  until := clock_timestamp() + p_duration;
  INSERT INTO seats AS s (event, seat, state, buyer, hold, fence, until, linger)
  SELECT p_event, wanted, 'HELD', p_buyer, p_hold, v_fence, hold_seats.until, v_linger FROM unnest(p_seats) wanted
  ON CONFLICT (event, seat) DO UPDATE
    SET buyer = excluded.buyer, hold = excluded.hold, fence = excluded.fence, until = excluded.until,
      linger = excluded.linger
    WHERE s.state = 'HELD' AND s.until <= clock_timestamp() AND s.fence < excluded.fence;
  GET DIAGNOSTICS v_held = ROW_COUNT;
  IF v_held < cardinality(p_seats) THEN
    PERFORM refuse('seat lost');
  END IF;

  v_now := clock_timestamp();
  IF v_now >= until THEN
    PERFORM refuse('hold ran out');
  END IF;
  INSERT INTO holds (id, event, buyer, line, fence, seats, held_at, until, since)
  VALUES (
    p_hold, p_event, p_buyer, p_line, v_fence, p_seats, v_now, hold_seats.until,
    hold_seats.until - p_duration
  );
  outcome := 'held';
END
$$;

-- As in 0003_place_order.sql, which says why it is as it is; new is the outcome ``withdrawn``: the sheet in force has no
-- price for one of the seats. Nothing was changed, and the hold goes on.
CREATE OR REPLACE FUNCTION place_order(
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
  v_prices := ARRAY(
    SELECT price.price FROM unnest(v_hold.seats) WITH ORDINALITY AS wanted (seat, place)
    JOIN unnest(p_sections, p_prices) AS price (section, price) ON price.section = split_part(wanted.seat, '-', 1)
    ORDER BY wanted.place
  );
  IF cardinality(v_prices) < cardinality(v_hold.seats) THEN
    outcome := 'withdrawn';
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
