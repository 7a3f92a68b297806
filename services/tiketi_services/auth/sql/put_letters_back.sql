-- Undo the taking of letters that could not be tried: they are due at once. Params: ids, asked_at.
UPDATE letters l SET due_at = clock_timestamp(), attempts = l.attempts - 1
FROM unnest($1::uuid[], $2::timestamptz[]) AS back (id, asked_at)
WHERE l.id = back.id AND l.asked_at = back.asked_at AND l.attempts > 0
