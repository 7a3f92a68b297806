-- Add an account, and the mail that asks to verify its address. Params: id, email (normalised), name, password_hash.
-- Result: when it was registered, or no row when the address is taken.
WITH added AS (
  INSERT INTO accounts (id, email, name, password_hash) VALUES ($1, $2, $3, $4)
  ON CONFLICT (email) DO NOTHING
  RETURNING id, created_at
), asked AS (
  INSERT INTO verification_mails (account) SELECT id FROM added
)
SELECT created_at FROM added
