-- Verify the address of an account, if it is still that address. Params: id, email. Result: a row, also when it was
-- verified before; none when there is no such account.
WITH verified AS (
  UPDATE accounts SET verified_at = coalesce(verified_at, clock_timestamp()) WHERE id = $1 AND email = $2
  RETURNING id
), done AS (
  DELETE FROM verification_mails USING verified WHERE account = verified.id
)
SELECT id FROM verified
