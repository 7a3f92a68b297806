-- Holds that last: more time and other seats for who asks, and a return that nobody can wait for.

-- A hold never changes its seats: who swaps some gets a new hold that goes on from the old one, so that the history of
-- each seat stays whole. It keeps the time, and what was used of the time that can be asked for.
ALTER TABLE holds
  -- When the first of the holds it goes on from began; null: a hold of the time before this column.
  ADD COLUMN since timestamptz,
  ADD COLUMN extensions integer NOT NULL DEFAULT 0 CHECK (extensions >= 0),
  ADD COLUMN replaced_by uuid REFERENCES holds;

-- How long after ``until`` the seat still looks held: on the map, and to who asks for the best seats. By its name it can
-- be held at ``until``, to the microsecond. One random time for each hold: neighbours return together.
ALTER TABLE seats ADD COLUMN linger interval NOT NULL DEFAULT '0';

-- As in 0002_hold_seats.sql, which says why it is as it is; new are ``linger`` and ``since``.
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

  INSERT INTO holds (id, event, buyer, line, fence, seats, held_at, until, since)
  VALUES (
    p_hold, p_event, p_buyer, p_line, v_fence, p_seats, clock_timestamp(), hold_seats.until,
    hold_seats.until - p_duration
  );
  outcome := 'held';
END
$$;

-- The hold that a hold has become, by as many changes of seats as there were; itself if there were none.
CREATE FUNCTION successor(p_hold holds) RETURNS holds LANGUAGE plpgsql AS $$
BEGIN
  WHILE p_hold.replaced_by IS NOT NULL LOOP
    SELECT h.* INTO p_hold FROM holds h WHERE h.id = p_hold.replaced_by;
  END LOOP;
  RETURN p_hold;
END
$$;

-- More time for a hold: p_duration from now, p_most times, and never past p_longest after it began.
--
-- ``outcome``: extended | early (more than p_enough is left: nothing changes and nothing is counted, so that a request
-- whose answer was lost can be sent again) | used-up | replaced (by hold ``kept``) | ordered | expired | unknown (no such
-- hold of this buyer). ``kept`` is the hold as it is then. Raises TK001 when only some of the seats are still the hold's.
--
-- An expired hold is never revived, not even while its seats are still nobody's: owner, fence and time are compared in
-- the statement that changes the seats. An order's time to pay is its own and is not touched.
CREATE FUNCTION extend_hold(
  p_event text, p_buyer text, p_hold uuid, p_duration interval, p_most integer, p_longest interval, p_enough interval,
  OUT outcome text, OUT kept holds
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_until timestamptz;
  v_seat text;
  v_moved integer := 0;
BEGIN
  -- Locked first, as everywhere: nothing becomes of the hold while it is looked at.
  PERFORM FROM buyer_counts b WHERE b.event = p_event AND b.buyer = p_buyer FOR UPDATE;
  SELECT h.* INTO kept FROM holds h WHERE h.id = p_hold AND h.event = p_event AND h.buyer = p_buyer;
  IF NOT FOUND THEN
    outcome := 'unknown';
    RETURN;
  END IF;
  outcome := CASE
    WHEN kept.replaced_by IS NOT NULL THEN 'replaced'
    WHEN EXISTS (SELECT FROM orders o WHERE o.hold = p_hold) THEN 'ordered'
    WHEN kept.released_at IS NOT NULL OR kept.until <= clock_timestamp() THEN 'expired'
    WHEN kept.until - clock_timestamp() > p_enough THEN 'early'
  END;
  IF outcome = 'replaced' THEN
    kept := successor(kept);
  END IF;
  IF outcome IS NOT NULL THEN
    RETURN;
  END IF;

  v_until := least(clock_timestamp() + p_duration, coalesce(kept.since, kept.held_at) + p_longest);
  IF kept.extensions >= p_most OR v_until <= kept.until THEN
    outcome := 'used-up';
    RETURN;
  END IF;
  FOREACH v_seat IN ARRAY kept.seats LOOP
    UPDATE seats s SET until = v_until
    WHERE s.event = p_event AND s.seat = v_seat
      AND s.state = 'HELD' AND s.buyer = p_buyer AND s.fence = kept.fence AND s.until > clock_timestamp();
    v_moved := v_moved + FOUND::integer;
  END LOOP;
  IF v_moved < cardinality(kept.seats) THEN
    PERFORM refuse('part of a hold');
  END IF;
  UPDATE holds h SET until = v_until, extensions = h.extensions + 1 WHERE h.id = p_hold RETURNING h.* INTO kept;
  outcome := 'extended';
END
$$;

-- Other seats for a hold: p_seats (sorted by byte, none twice) instead of those it has; all of them, or the hold stays
-- as it is. What is in both is kept without a moment in which others could take it, what is not is free.
--
-- ``outcome``: changed (``kept`` is the hold from now on: p_new, until the same moment; ``dropped`` are the seats that
-- were given up just now) | taken (``taken`` names seats) | limit-reached (``live`` other seats are the buyer's) | closed | stale-sheet | replaced (by ``kept``, with other
-- seats) | ordered | expired | unknown. The same change asked for again is answered by the hold it has led to.
-- Raises TK001 when a seat was lost between the look and the grasp: nothing is changed, ask again to learn which.
-- The order of locks is that of hold_seats.
CREATE FUNCTION change_seats(
  p_event text, p_version bigint, p_opens_at timestamptz, p_closes_at timestamptz, p_limit integer, p_duration interval,
  p_buyer text, p_hold uuid, p_new uuid, p_seats text[],
  OUT outcome text, OUT kept holds, OUT dropped text[], OUT taken text[], OUT live integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_before holds;
  v_fence bigint;
  v_linger interval;
  v_now timestamptz;
  v_seat text;
BEGIN
  IF p_version IS DISTINCT FROM (SELECT max(x.version) FROM sale_sheets x WHERE x.event = p_event) THEN
    outcome := 'stale-sheet';
    RETURN;
  END IF;
  IF clock_timestamp() < p_opens_at OR clock_timestamp() >= p_closes_at THEN
    outcome := 'closed';
    RETURN;
  END IF;

  PERFORM FROM buyer_counts b WHERE b.event = p_event AND b.buyer = p_buyer FOR UPDATE;
  SELECT h.* INTO kept FROM holds h WHERE h.id = p_hold AND h.event = p_event AND h.buyer = p_buyer;
  IF NOT FOUND THEN
    outcome := 'unknown';
    RETURN;
  END IF;
  v_before := kept;
  kept := successor(kept);
  outcome := CASE
    WHEN EXISTS (SELECT FROM orders o WHERE o.hold = kept.id) THEN 'ordered'
    WHEN kept.released_at IS NOT NULL OR kept.until <= clock_timestamp() THEN 'expired'
    WHEN kept.seats = p_seats THEN 'changed'
    WHEN kept.id <> p_hold THEN 'replaced'
  END;
  IF outcome IS NOT NULL THEN
    RETURN;
  END IF;

  taken := ARRAY(
    SELECT wanted FROM unnest(p_seats) wanted, LATERAL (
      SELECT FROM seats s
      WHERE s.event = p_event AND s.seat = wanted AND (s.state <> 'HELD' OR s.until > clock_timestamp())
        AND s.fence <> v_before.fence
      LIMIT 1
    ) present
  );
  IF cardinality(taken) > 0 THEN
    outcome := 'taken';
    RETURN;
  END IF;
  live := (
    SELECT count(*) FROM seats s
    WHERE s.event = p_event AND s.buyer = p_buyer AND (s.state <> 'HELD' OR s.until > clock_timestamp())
      AND s.fence <> v_before.fence
  );
  IF live + cardinality(p_seats) > p_limit THEN
    outcome := 'limit-reached';
    RETURN;
  END IF;
  UPDATE buyer_counts b SET taken = live + cardinality(p_seats), "limit" = p_limit
  WHERE b.event = p_event AND b.buyer = p_buyer;

  v_fence := nextval('fences');
  v_linger := p_duration / 10 * random();
  FOR v_seat IN SELECT DISTINCT x.seat COLLATE "C" FROM unnest(v_before.seats || p_seats) AS x (seat) ORDER BY 1 LOOP
    IF v_seat <> ALL (p_seats) THEN
      DELETE FROM seats s WHERE s.event = p_event AND s.seat = v_seat
        AND s.state = 'HELD' AND s.buyer = p_buyer AND s.fence = v_before.fence AND s.until > clock_timestamp();
    ELSIF v_seat = ANY (v_before.seats) THEN
      UPDATE seats s SET hold = p_new, fence = v_fence, linger = v_linger WHERE s.event = p_event AND s.seat = v_seat
        AND s.state = 'HELD' AND s.buyer = p_buyer AND s.fence = v_before.fence AND s.until > clock_timestamp();
    ELSE
      INSERT INTO seats AS s (event, seat, state, buyer, hold, fence, until, linger)
      VALUES (p_event, v_seat, 'HELD', p_buyer, p_new, v_fence, v_before.until, v_linger)
      ON CONFLICT (event, seat) DO UPDATE
        SET buyer = excluded.buyer, hold = excluded.hold, fence = excluded.fence, until = excluded.until,
          linger = excluded.linger
        WHERE s.state = 'HELD' AND s.until <= clock_timestamp() AND s.fence < excluded.fence;
    END IF;
    IF NOT FOUND THEN
      PERFORM refuse('seat lost');
    END IF;
  END LOOP;

  v_now := clock_timestamp();
  IF v_now >= v_before.until THEN
    PERFORM refuse('hold ran out');
  END IF;
  INSERT INTO holds AS h (id, event, buyer, line, fence, seats, held_at, until, since, extensions)
  VALUES (
    p_new, p_event, p_buyer, v_before.line, v_fence, p_seats, v_now, v_before.until,
    coalesce(v_before.since, v_before.held_at), v_before.extensions
  ) RETURNING h.* INTO kept;
  UPDATE holds h SET released_at = v_now, replaced_by = p_new WHERE h.id = p_hold;
  dropped := ARRAY(SELECT seat FROM unnest(v_before.seats) seat WHERE seat <> ALL (p_seats));
  outcome := 'changed';
END
$$;
