-- Forget mails that were taken or are given up, unless they were asked for again meanwhile. Params: accounts, asked_at.
DELETE FROM verification_mails m USING unnest($1::uuid[], $2::timestamptz[]) AS done (account, asked_at)
WHERE m.account = done.account AND m.asked_at = done.asked_at
