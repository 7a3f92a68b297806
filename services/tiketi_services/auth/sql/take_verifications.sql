-- Take due mails, each for one sender alone. They are due again when the lease ends: who dies with them loses none.
-- Params: most, lease (s). Result: id (the account's), account, email,
-- asked_at, attempts (with this one), message (null).
UPDATE verification_mails m
SET attempts = m.attempts + 1, due_at = clock_timestamp() + $2 * interval '1 second'
FROM accounts a
WHERE a.id = m.account AND m.account IN (
  SELECT account FROM verification_mails WHERE due_at <= clock_timestamp()
  ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING m.account AS id, m.account, a.email, m.asked_at, m.attempts, NULL::jsonb AS message
