-- Forget letters that were taken or are given up. Params: ids, asked_at.
DELETE FROM letters l USING unnest($1::uuid[], $2::timestamptz[]) AS done (id, asked_at)
WHERE l.id = done.id AND l.asked_at = done.asked_at
