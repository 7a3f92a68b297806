-- Try letters again after a pause that doubles with each attempt. Params: ids, asked_at, first pause (s), longest (s).
UPDATE letters l
SET due_at = clock_timestamp() + least($3 * 2 ^ least(l.attempts - 1, 30), $4) * interval '1 second'
FROM unnest($1::uuid[], $2::timestamptz[]) AS back (id, asked_at)
WHERE l.id = back.id AND l.asked_at = back.asked_at AND l.attempts > 0
