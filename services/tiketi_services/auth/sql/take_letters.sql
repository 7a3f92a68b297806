-- Take due letters, each for one sender alone. They are due again when the lease ends: who dies with them loses none.
-- Params: most, lease (s). Result: id, account, email (as it is now), asked_at, attempts (with this one), message.
UPDATE letters l
SET attempts = l.attempts + 1, due_at = clock_timestamp() + $2 * interval '1 second'
FROM accounts a
WHERE a.id = l.account AND l.id IN (
  SELECT id FROM letters WHERE due_at <= clock_timestamp()
  ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING l.id, l.account, a.email, l.asked_at, l.attempts, l.message
