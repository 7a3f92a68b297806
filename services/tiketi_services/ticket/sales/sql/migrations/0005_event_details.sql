-- What messages say of an event, from its newest sheet; null if it never had one. A function: orders and refunds say it.
CREATE FUNCTION event_details(p_event text) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object(
    'title', content -> 'title', 'venue', content #> '{venue,name}', 'timeZone', content #> '{venue,timeZone}',
    'startsAt', content -> 'startsAt'
  ) FROM sale_sheets WHERE event = p_event ORDER BY version DESC LIMIT 1
$$;
