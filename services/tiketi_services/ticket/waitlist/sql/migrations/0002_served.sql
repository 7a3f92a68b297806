-- Seats are kept for those who wait only while somebody is there to offer them.

-- When those who wait for some sections of an event were last looked after.
CREATE TABLE waitlist_served (
  event text PRIMARY KEY,
  sections text[] NOT NULL,
  served_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Whether seats of a section are kept: somebody waits for it, and the waitlist that offers it was served less than 30 s
-- ago. If the public line was moved, was closed, or does not sell the section any more, or if the service that offers is
-- away, the seats are everybody's again. A time in the future is one of before the server's clock was set back.
CREATE FUNCTION waitlist_keeps(p_event text, p_section text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT FROM waitlist_wants w WHERE w.event = p_event AND w.section = p_section) AND EXISTS (
    SELECT FROM waitlist_served s WHERE s.event = p_event AND p_section = ANY (s.sections)
      AND s.served_at BETWEEN clock_timestamp() - interval '30 s' AND clock_timestamp()
  );
END
$$;

CREATE OR REPLACE FUNCTION seats_kept(p_event text, p_line text, p_seats text[]) RETURNS text[] LANGUAGE plpgsql STABLE
AS $$
BEGIN
  IF p_line = '@waitlist' OR NOT EXISTS (SELECT FROM waitlist_wants w WHERE w.event = p_event) THEN
    RETURN '{}';
  END IF;
  RETURN ARRAY(SELECT wanted FROM unnest(p_seats) wanted WHERE waitlist_keeps(p_event, split_part(wanted, '-', 1)));
END
$$;

-- Takes the place of the function of 0010_kept_sections.sql of ticket/orders.
CREATE OR REPLACE FUNCTION sections_kept(p_event text) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN ARRAY(
    SELECT section FROM waitlist_served s, unnest(s.sections) section
    WHERE s.event = p_event AND waitlist_keeps(p_event, section)
  );
END
$$;

-- As in 0001_waitlist.sql, but that a section is not sold out by somebody who waits for it in vain.
CREATE OR REPLACE FUNCTION join_waitlist(
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
    WHERE NOT waitlist_keeps(p_event, x.section)
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
