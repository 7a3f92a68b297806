-- There were free seats, but too few for these entries. $1 entries  $2 how often each was passed over now (same places)
-- $3 how long seats are gathered for an entry.
UPDATE waitlist_entries e
SET passed_over = e.passed_over + x.passes, gathers_until = coalesce(e.gathers_until, clock_timestamp() + $3::interval)
FROM unnest($1::uuid[], $2::integer[]) AS x (id, passes)
WHERE e.id = x.id AND e.state = 'WAITING' AND (x.passes > 0 OR e.gathers_until IS NULL)
