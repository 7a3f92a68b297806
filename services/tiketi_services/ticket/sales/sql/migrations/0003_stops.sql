-- Stops of an event's sale, and what lifted them: only ever added to. The last row of an event says whether it is stopped.
-- While it is, nobody is admitted and nothing new is held; who has ordered may pay, and every ticket stays good.
CREATE TABLE sale_stops (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event text NOT NULL,
  action text NOT NULL CHECK (action IN ('STOP', 'RESUME')),
  "by" text NOT NULL,
  reason text NOT NULL CHECK (reason <> ''),
  -- What was found; of a RESUME, what was found and is accepted as it is.
  facts jsonb NOT NULL DEFAULT '[]',
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX sale_stops_of_event ON sale_stops (event, id);

CREATE FUNCTION refuse_change_of_stops() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is insert-only', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER sale_stops_insert_only BEFORE UPDATE OR DELETE ON sale_stops
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_stops();

CREATE FUNCTION sale_is_stopped(p_event text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT action = 'STOP' FROM sale_stops WHERE event = p_event ORDER BY id DESC LIMIT 1), false)
$$;
