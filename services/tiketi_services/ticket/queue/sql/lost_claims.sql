-- Those of some claims that are not kept. $1 events  $2 lines  $3 buyers  $4 sessions
-- Result: number among those given, from 1; is_spent (another session has the place)
SELECT given.number, kept.session IS NOT NULL AS is_spent
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS given (event, line, buyer, session, number)
LEFT JOIN claims kept USING (event, line, buyer)
WHERE kept.session IS DISTINCT FROM given.session
