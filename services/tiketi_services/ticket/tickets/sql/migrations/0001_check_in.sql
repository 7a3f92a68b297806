-- Tickets that were used. Orders issues them (ISSUED), refunds voids them (VOID) and check-in uses them (USED): both only
-- WHERE state = 'ISSUED', so that of two at the same moment one finds nothing.
ALTER TABLE tickets
  DROP CONSTRAINT tickets_state_check,
  ADD CONSTRAINT tickets_state_check CHECK (state IN ('ISSUED', 'USED', 'VOID')),
  ADD COLUMN checked_in_at timestamptz,
  -- As its staff call it.
  ADD COLUMN gate text,
  ADD CONSTRAINT tickets_used_check CHECK ((state = 'USED') = (checked_in_at IS NOT NULL AND gate IS NOT NULL));

-- The last wall, as before: a seat has one ticket that is not void. The new one stands before the old one goes.
CREATE UNIQUE INDEX tickets_one_a_seat_not_void ON tickets (event, seat) WHERE state <> 'VOID';
DROP INDEX tickets_one_a_seat;
ALTER INDEX tickets_one_a_seat_not_void RENAME TO tickets_one_a_seat;
-- Nothing that a sale has to write: few tickets are ever void.
CREATE INDEX tickets_void ON tickets (event, id) WHERE state = 'VOID';

-- Every scan there ever was, by the key its scanner gave it: what was answered once is answered again. Only ever added
-- to, but for ``repeats``. It holds no name: the ticket's order knows whose it is.
CREATE TABLE scans (
  scanner text NOT NULL,
  scan text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  event text NOT NULL,
  gate text NOT NULL,
  -- Null: the code was none of ours.
  ticket uuid,
  outcome text NOT NULL
    CHECK (outcome IN ('admitted', 'used', 'void', 'wrong-event', 'unknown', 'forged', 'not-a-ticket')),
  -- How often the same scan was sent again.
  repeats integer NOT NULL DEFAULT 0,
  PRIMARY KEY (scanner, scan)
);
CREATE INDEX scans_of_event ON scans (event, at);
CREATE INDEX scans_of_ticket ON scans (ticket);

-- Decide one scan, and write it down.
--
-- p_finding is what was wrong with the code itself (null: it is genuine and of this event); then no ticket is touched.
-- ``outcome``: as in scans, or key-reused (the scanner used the key for another ticket, gate or event: nothing is done).
-- ``used_at``, ``used_gate``: of a ticket that was used. ``voided``: when a void one was voided.
--
-- Who sends the same scan twice at once waits for the first: the key's row is written before anything is decided.
CREATE FUNCTION scan_ticket(
  p_event text, p_ticket uuid, p_finding text, p_gate text, p_scanner text, p_scan text,
  OUT outcome text, OUT used_at timestamptz, OUT used_gate text, OUT voided timestamptz
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_state text;
BEGIN
  INSERT INTO scans (scanner, scan, event, gate, ticket, outcome)
  VALUES (p_scanner, p_scan, p_event, p_gate, p_ticket, coalesce(p_finding, 'unknown')) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    UPDATE scans s SET repeats = s.repeats + 1
    WHERE s.scanner = p_scanner AND s.scan = p_scan
      AND s.event = p_event AND s.gate = p_gate AND s.ticket IS NOT DISTINCT FROM p_ticket
    RETURNING s.outcome INTO scan_ticket.outcome;
    IF NOT FOUND THEN
      outcome := 'key-reused';
      RETURN;
    END IF;
  ELSIF p_finding IS NOT NULL THEN
    outcome := p_finding;
    RETURN;
  ELSE
    UPDATE tickets t SET state = 'USED', checked_in_at = clock_timestamp(), gate = p_gate
    WHERE t.id = p_ticket AND t.event = p_event AND t.state = 'ISSUED';
    IF FOUND THEN
      outcome := 'admitted';
    ELSE
      SELECT t.state INTO v_state FROM tickets t WHERE t.id = p_ticket AND t.event = p_event;
      outcome := CASE v_state WHEN 'USED' THEN 'used' WHEN 'VOID' THEN 'void' ELSE 'unknown' END;
    END IF;
    UPDATE scans s SET outcome = scan_ticket.outcome WHERE s.scanner = p_scanner AND s.scan = p_scan;
  END IF;
  SELECT t.checked_in_at, t.gate, t.voided_at INTO used_at, used_gate, voided
  FROM tickets t WHERE t.id = p_ticket AND t.event = p_event;
END
$$;
