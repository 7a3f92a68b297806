-- These waitlists are looked after. $1 events  $2 sections of each (same places), joined by spaces.
INSERT INTO waitlist_served AS known (event, sections, served_at)
SELECT event, string_to_array(sections, ' '), clock_timestamp() FROM unnest($1::text[], $2::text[]) AS x (event, sections)
ORDER BY event
ON CONFLICT (event) DO UPDATE SET sections = excluded.sections, served_at = excluded.served_at
WHERE known.sections <> excluded.sections
  OR known.served_at NOT BETWEEN clock_timestamp() - interval '5 s' AND clock_timestamp()
