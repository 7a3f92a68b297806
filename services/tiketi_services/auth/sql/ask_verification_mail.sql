-- Have a verification mail sent now, unless the address is verified. One that waits already is not doubled.
-- Params: account.
INSERT INTO verification_mails (account) SELECT id FROM accounts WHERE id = $1 AND verified_at IS NULL
ON CONFLICT (account) DO UPDATE SET asked_at = clock_timestamp(), due_at = clock_timestamp(), attempts = 0
