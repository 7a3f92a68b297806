-- The waitlist of sold-out events: who waits, and what was offered to them.

-- One row is one wait of one account. Its place is its number: nothing ever changes that.
CREATE TABLE waitlist_entries (
  id uuid PRIMARY KEY,
  seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  event text NOT NULL,
  buyer text NOT NULL,
  sections text[] NOT NULL CHECK (cardinality(sections) > 0),
  quantity integer NOT NULL CHECK (quantity > 0),
  -- RESTING: keeps the place, but is offered nothing before rests_until, and no seat is kept for it.
  state text NOT NULL DEFAULT 'WAITING' CHECK (state IN ('WAITING', 'RESTING', 'OFFERED', 'ORDERED', 'ENDED')),
  joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- The last offer.
  hold uuid REFERENCES holds,
  -- Offers that were not taken.
  lapses integer NOT NULL DEFAULT 0,
  -- Since the last offer: how often seats went to somebody behind, because they were too few for this one; and until
  -- when this one waits for as many as it wants.
  passed_over integer NOT NULL DEFAULT 0,
  gathers_until timestamptz,
  rests_until timestamptz,
  ended_at timestamptz,
  reason text CHECK (reason IN ('left', 'lapsed')),
  CHECK ((state = 'RESTING') = (rests_until IS NOT NULL)),
  CHECK ((state IN ('ORDERED', 'ENDED')) = (ended_at IS NOT NULL)),
  CHECK ((state = 'ENDED') = (reason IS NOT NULL)),
  CHECK (state <> 'OFFERED' OR hold IS NOT NULL)
);
CREATE UNIQUE INDEX waitlist_one_a_buyer ON waitlist_entries (event, buyer)
  WHERE state IN ('WAITING', 'RESTING', 'OFFERED');
CREATE INDEX waitlist_in_order ON waitlist_entries (event, seq) WHERE state IN ('WAITING', 'RESTING', 'OFFERED');
CREATE INDEX waitlist_offers ON waitlist_entries (event) WHERE state = 'OFFERED';
CREATE INDEX waitlist_resting ON waitlist_entries (event, rests_until) WHERE state = 'RESTING';
CREATE INDEX waitlist_of_buyer ON waitlist_entries (event, buyer, seq);

-- The sections of every entry that is WAITING: whether somebody waits for a seat is asked at every hold.
CREATE TABLE waitlist_wants (
  event text NOT NULL,
  section text NOT NULL,
  seq bigint NOT NULL,
  PRIMARY KEY (event, section, seq)
);

CREATE FUNCTION note_waitlist_wants() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.state = 'WAITING' AND NEW.state <> 'WAITING' THEN
    DELETE FROM waitlist_wants w USING unnest(OLD.sections) wanted
    WHERE w.event = OLD.event AND w.section = wanted AND w.seq = OLD.seq;
  ELSIF NEW.state = 'WAITING' AND (TG_OP = 'INSERT' OR OLD.state <> 'WAITING') THEN
    INSERT INTO waitlist_wants (event, section, seq) SELECT NEW.event, wanted, NEW.seq FROM unnest(NEW.sections) wanted;
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER waitlist_wants_follow AFTER INSERT OR UPDATE OF state ON waitlist_entries
  FOR EACH ROW EXECUTE FUNCTION note_waitlist_wants();

-- Takes the place of the function of 0009_kept_seats.sql of ticket/orders: while somebody waits for a section, its free
-- seats are the waitlist's, and no line's.
--
-- plpgsql keeps its plans, and this runs at every hold; a function in SQL would be planned anew each time.
CREATE OR REPLACE FUNCTION seats_kept(p_event text, p_line text, p_seats text[]) RETURNS text[] LANGUAGE plpgsql STABLE
AS $$
BEGIN
  IF p_line = '@waitlist' OR NOT EXISTS (SELECT FROM waitlist_wants w WHERE w.event = p_event) THEN
    RETURN '{}';
  END IF;
  RETURN ARRAY(
    SELECT wanted FROM unnest(p_seats) wanted, LATERAL (
      SELECT FROM waitlist_wants w WHERE w.event = p_event AND w.section = split_part(wanted, '-', 1) LIMIT 1
    ) present
  );
END
$$;

-- How many seats of a section (p_size in all) nobody has at this moment.
CREATE FUNCTION free_seats_of_section(p_event text, p_section text, p_size integer) RETURNS bigint LANGUAGE sql AS $$
  -- '.' follows '-' in ASCII, and seats sort by byte.
  SELECT p_size - count(*) FROM seats s
  WHERE s.event = p_event AND s.seat >= p_section || '-' AND s.seat < p_section || '.'
    AND (s.state <> 'HELD' OR s.until > clock_timestamp())
$$;

-- Wait for p_quantity seats of some sections (p_sizes: seats of each, same places).
--
-- ``outcome``: joined | joined-before (``entry`` is the buyer's, live) | not-sold-out (``free`` sections have seats for
-- everybody) | closed (or
-- cancelled) | stale-sheet. A section is sold out when each of its seats is held, placed or sold; or when
-- somebody waits for it already, for then its free seats are the waitlist's.
CREATE FUNCTION join_waitlist(
  p_event text, p_version bigint, p_opens_at timestamptz, p_closes_at timestamptz, p_buyer text, p_entry uuid,
  p_sections text[], p_sizes integer[], p_quantity integer,
  OUT outcome text, OUT entry waitlist_entries, OUT free text[]
) LANGUAGE plpgsql AS $$
BEGIN
  IF p_version IS DISTINCT FROM (SELECT max(x.version) FROM sale_sheets x WHERE x.event = p_event) THEN
    outcome := 'stale-sheet';
    RETURN;
  END IF;
  SELECT e.* INTO entry FROM waitlist_entries e
  WHERE e.event = p_event AND e.buyer = p_buyer AND e.state IN ('WAITING', 'RESTING', 'OFFERED');
  IF FOUND THEN
    outcome := 'joined-before';
    RETURN;
  END IF;
  IF clock_timestamp() < p_opens_at OR clock_timestamp() >= p_closes_at
    OR EXISTS (SELECT FROM cancelled_events c WHERE c.event = p_event) THEN
    outcome := 'closed';
    RETURN;
  END IF;
  free := ARRAY(
    SELECT x.section FROM unnest(p_sections, p_sizes) AS x (section, size)
    WHERE NOT EXISTS (SELECT FROM waitlist_wants w WHERE w.event = p_event AND w.section = x.section)
      AND free_seats_of_section(p_event, x.section, x.size) > 0
  );
  IF cardinality(free) > 0 THEN
    outcome := 'not-sold-out';
    RETURN;
  END IF;
  INSERT INTO waitlist_entries AS e (id, event, buyer, sections, quantity)
  VALUES (p_entry, p_event, p_buyer, p_sections, p_quantity)
  ON CONFLICT (event, buyer) WHERE state IN ('WAITING', 'RESTING', 'OFFERED') DO NOTHING
  RETURNING e.* INTO entry;
  IF FOUND THEN
    outcome := 'joined';
    RETURN;
  END IF;
  SELECT e.* INTO entry FROM waitlist_entries e
  WHERE e.event = p_event AND e.buyer = p_buyer AND e.state IN ('WAITING', 'RESTING', 'OFFERED');
  -- Joined and gone again at this very moment: as if the whole had not been asked yet.
  outcome := CASE WHEN FOUND THEN 'joined-before' ELSE 'stale-sheet' END;
END
$$;

-- Hold seats for an entry that waits: p_seats (sorted by byte, no more than it wants) for p_window.
--
-- ``outcome``: held (``until`` is set; ``buyer`` is whose they are) | gone (the entry does not wait any more, or for
-- fewer) | stopped (the sale, or the
-- event is cancelled) | what hold_seats says. Locked are the entry, then what hold_seats locks, everywhere.
CREATE FUNCTION offer_seats(
  p_entry uuid, p_event text, p_version bigint, p_opens_at timestamptz, p_closes_at timestamptz, p_limit integer,
  p_window interval, p_hold uuid, p_seats text[],
  OUT outcome text, OUT until timestamptz, OUT buyer text
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  IF sale_is_stopped(p_event) OR EXISTS (SELECT FROM cancelled_events c WHERE c.event = p_event) THEN
    outcome := 'stopped';
    RETURN;
  END IF;
  SELECT e.buyer INTO offer_seats.buyer FROM waitlist_entries e
  WHERE e.id = p_entry AND e.event = p_event AND e.state = 'WAITING' AND e.quantity >= cardinality(p_seats)
  FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'gone';
    RETURN;
  END IF;
  SELECT h.outcome, h.until INTO offer_seats.outcome, offer_seats.until FROM hold_seats(
    p_event, p_version, p_opens_at, p_closes_at, p_limit, p_window, offer_seats.buyer, '@waitlist', p_hold, p_seats
  ) h;
  IF offer_seats.outcome = 'held' THEN
    UPDATE waitlist_entries e SET state = 'OFFERED', hold = p_hold, passed_over = 0, gathers_until = NULL
    WHERE e.id = p_entry;
  END IF;
END
$$;

-- What became of the offers of an event that are over: ORDERED, or a lapse. Who let p_most of them lapse is out; else the
-- place stays, and the entry rests for p_rest. ``became`` is the new state.
--
-- The buyer's row is locked before the look, as in place_order: an order made in the last microsecond is waited for.
CREATE FUNCTION settle_offers(p_event text, p_rest interval, p_most integer)
RETURNS TABLE (entry uuid, became text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_entry waitlist_entries;
  v_hold holds;
BEGIN
  FOR v_entry IN
    SELECT e.* FROM waitlist_entries e JOIN holds h ON h.id = e.hold
    WHERE e.event = p_event AND e.state = 'OFFERED' AND (
      h.until <= clock_timestamp() OR h.released_at IS NOT NULL OR EXISTS (SELECT FROM orders o WHERE o.hold = h.id))
    ORDER BY e.seq FOR UPDATE OF e
  LOOP
    PERFORM FROM buyer_counts b WHERE b.event = p_event AND b.buyer = v_entry.buyer FOR UPDATE;
    SELECT h.* INTO v_hold FROM holds h WHERE h.id = v_entry.hold;
    v_hold := successor(v_hold);
    entry := v_entry.id;
    IF EXISTS (SELECT FROM orders o WHERE o.hold = v_hold.id) THEN
      became := 'ORDERED';
      UPDATE waitlist_entries e SET state = 'ORDERED', ended_at = clock_timestamp() WHERE e.id = v_entry.id;
    ELSIF v_hold.until > clock_timestamp() AND v_hold.released_at IS NULL THEN
      CONTINUE;
    ELSIF v_entry.lapses + 1 >= p_most THEN
      became := 'ENDED';
      UPDATE waitlist_entries e
      SET state = 'ENDED', lapses = e.lapses + 1, ended_at = clock_timestamp(), reason = 'lapsed' WHERE e.id = v_entry.id;
    ELSE
      became := 'RESTING';
      UPDATE waitlist_entries e
      SET state = 'RESTING', lapses = e.lapses + 1, rests_until = clock_timestamp() + p_rest WHERE e.id = v_entry.id;
    END IF;
    RETURN NEXT;
  END LOOP;
END
$$;

-- Give up a place, and the seats that are offered.
--
-- ``outcome``: left (``freed`` seats of ``hold`` are free) | ordered (the offer has become an order) | left-before |
-- unknown.
CREATE FUNCTION leave_waitlist(
  p_event text, p_buyer text, OUT outcome text, OUT hold uuid, OUT freed text[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_entry waitlist_entries;
  v_hold holds;
BEGIN
  SELECT e.* INTO v_entry FROM waitlist_entries e
  WHERE e.event = p_event AND e.buyer = p_buyer AND e.state IN ('WAITING', 'RESTING', 'OFFERED') FOR UPDATE;
  IF NOT FOUND THEN
    outcome := CASE
      WHEN EXISTS (SELECT FROM waitlist_entries e WHERE e.event = p_event AND e.buyer = p_buyer) THEN 'left-before'
      ELSE 'unknown' END;
    RETURN;
  END IF;
  IF v_entry.state = 'OFFERED' THEN
    PERFORM FROM buyer_counts b WHERE b.event = p_event AND b.buyer = p_buyer FOR UPDATE;
    SELECT h.* INTO v_hold FROM holds h WHERE h.id = v_entry.hold;
    v_hold := successor(v_hold);
    IF EXISTS (SELECT FROM orders o WHERE o.hold = v_hold.id) THEN
      UPDATE waitlist_entries e SET state = 'ORDERED', ended_at = clock_timestamp() WHERE e.id = v_entry.id;
      outcome := 'ordered';
      RETURN;
    END IF;
    leave_waitlist.hold := v_hold.id;
    freed := release_seats(p_event, v_hold.seats, v_hold.fence);
    UPDATE holds h SET released_at = clock_timestamp() WHERE h.id = v_hold.id AND cardinality(freed) > 0;
  END IF;
  UPDATE waitlist_entries e
  SET state = 'ENDED', reason = 'left', rests_until = NULL, ended_at = clock_timestamp() WHERE e.id = v_entry.id;
  outcome := 'left';
END
$$;
