-- Replace a hash made with old parameters, unless it was replaced meanwhile. Params: account, old hash, new hash.
UPDATE accounts SET password_hash = $3 WHERE id = $1 AND password_hash = $2
