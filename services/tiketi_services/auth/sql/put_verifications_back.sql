-- Undo the taking of mails that could not be tried: they are due at once. Params: accounts, asked_at.
UPDATE verification_mails m SET due_at = clock_timestamp(), attempts = m.attempts - 1
FROM unnest($1::uuid[], $2::timestamptz[]) AS back (account, asked_at)
WHERE m.account = back.account AND m.asked_at = back.asked_at AND m.attempts > 0
