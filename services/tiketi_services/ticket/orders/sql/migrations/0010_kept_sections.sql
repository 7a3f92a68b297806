-- Sections whose free seats are not for buyers of a line at the moment (see 0009_kept_seats.sql), to show them as held. Here
-- there are none; a layer above (the waitlist) puts its own rule in this function's place.
CREATE FUNCTION sections_kept(p_event text) RETURNS text[] LANGUAGE sql STABLE AS $$
  SELECT '{}'::text[]
$$;
