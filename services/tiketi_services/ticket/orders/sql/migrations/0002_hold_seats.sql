-- Give a buyer all of the wanted seats, or none. This is the one judge of whose seat it is.
--
-- p_seats must be sorted by byte and hold no seat twice; p_version is the sheet that p_limit, p_duration and the line's
-- window were read from. ``outcome``: held (``until`` is set) | taken (``taken`` names the seats) | limit-reached
-- (``live`` seats are the buyer's already) | closed (the line's window, by this server's clock) | stale-sheet.
-- Raises TK001 when a seat was lost between the look and the grasp: nothing is kept, ask again to learn which.
--
-- Why it is a function: each of its statements sees what has been committed when that statement begins. A single
-- statement would count the buyer's seats as they were before it waited for the buyer's row, and two holds at once
-- would both fit the limit.
--
-- Why the limit holds: the number of a buyer's live seats grows here only. Here and in place_order the buyer's row is
-- locked first, so nothing grows while it is counted, and a hold that is turning into an order at the very moment it
-- expires is waited for. Seats are counted from the seats themselves, never kept as a running number: an expired hold
-- stops counting by the passing of time alone and nothing can leak.
--
-- Why nobody waits for ever: the buyer's row is locked before seats, seats in their order, everywhere.
--
-- Why seats are looked up one by one (LATERAL with LIMIT here, a loop elsewhere): plans are kept, and those made while the
-- table is nearly empty would read all seats of the event for ``seat = ANY (...)``, right into the rush.
CREATE FUNCTION hold_seats(
  p_event text, p_version bigint, p_opens_at timestamptz, p_closes_at timestamptz, p_limit integer, p_duration interval,
  p_buyer text, p_line text, p_hold uuid, p_seats text[],
  OUT outcome text, OUT until timestamptz, OUT taken text[], OUT live integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_fence bigint;
  v_held integer;
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
  until := clock_timestamp() + p_duration;
  INSERT INTO seats AS s (event, seat, state, buyer, hold, fence, until)
  SELECT p_event, wanted, 'HELD', p_buyer, p_hold, v_fence, hold_seats.until FROM unnest(p_seats) wanted
  ON CONFLICT (event, seat) DO UPDATE
    SET buyer = excluded.buyer, hold = excluded.hold, fence = excluded.fence, until = excluded.until
    WHERE s.state = 'HELD' AND s.until <= clock_timestamp() AND s.fence < excluded.fence;
  GET DIAGNOSTICS v_held = ROW_COUNT;
  IF v_held < cardinality(p_seats) THEN
    PERFORM refuse('seat lost');
  END IF;

  INSERT INTO holds (id, event, buyer, line, fence, seats, held_at, until)
  VALUES (p_hold, p_event, p_buyer, p_line, v_fence, p_seats, clock_timestamp(), hold_seats.until);
  outcome := 'held';
END
$$;
