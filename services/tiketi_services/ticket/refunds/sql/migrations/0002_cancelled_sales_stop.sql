-- A cancelled event is not sold: its sale is stopped for ever, and new orders are refused.

-- Takes the place of the function of 0004_cancelled.sql of ticket/sales.
CREATE OR REPLACE FUNCTION event_is_cancelled(p_event text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT FROM cancelled_events c WHERE c.event = p_event);
END
$$;

-- The last wall: whoever lifts stops, that of a cancelled event stays. With the rights of its owner, for the auditor may
-- not read cancelled_events.
CREATE FUNCTION refuse_resume_of_cancelled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.action = 'RESUME' AND event_is_cancelled(NEW.event) THEN
    RAISE EXCEPTION 'event % is cancelled: its sale stays stopped', NEW.event USING ERRCODE = 'TK002';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER sale_stops_of_cancelled BEFORE INSERT ON sale_stops
  FOR EACH ROW EXECUTE FUNCTION refuse_resume_of_cancelled();

INSERT INTO sale_stops (event, action, "by", reason, facts)
SELECT event, 'STOP', cancelled_by, 'the event is cancelled', jsonb_build_array(jsonb_build_object(
  'kind', 'event-cancelled', 'subject', event, 'told', 'cancelled by ' || cancelled_by))
FROM cancelled_events;
