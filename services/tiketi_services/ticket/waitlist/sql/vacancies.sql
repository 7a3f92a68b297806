-- Sections that somebody waits for and that have free seats. $1 event  $2 sections  $3 their sizes. Result: section.
SELECT section FROM unnest($2::text[], $3::integer[]) AS x (section, size)
WHERE EXISTS (SELECT FROM waitlist_wants w WHERE w.event = $1 AND w.section = x.section)
  AND free_seats_of_section($1, x.section, x.size) > 0
  AND NOT EXISTS (SELECT FROM cancelled_events c WHERE c.event = $1)
