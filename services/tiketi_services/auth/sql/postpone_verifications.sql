-- Try mails again after a pause that doubles with each attempt. Params: accounts, asked_at, first pause (s), longest (s).
UPDATE verification_mails m
SET due_at = clock_timestamp() + least($3 * 2 ^ least(m.attempts - 1, 30), $4) * interval '1 second'
FROM unnest($1::uuid[], $2::timestamptz[]) AS back (account, asked_at)
WHERE m.account = back.account AND m.asked_at = back.asked_at AND m.attempts > 0
