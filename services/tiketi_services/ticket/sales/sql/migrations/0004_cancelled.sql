-- Whether an event does not take place. Here none is cancelled; a layer above (refunds) puts its own rule in this function's
-- place. Asked before every order, and where a stop is explained.
CREATE FUNCTION event_is_cancelled(p_event text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT false
$$;
