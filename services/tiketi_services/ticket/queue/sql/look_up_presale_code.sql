-- Whether spend_presale_code would let the account in, as far as can be seen. Changes nothing.
-- $1 event  $2 line  $3 buyer  $4 digest of the code  $5 whether a code is one account's
SELECT EXISTS (SELECT FROM presale_code_uses WHERE event = $1 AND line = $2 AND buyer = $3)
  OR EXISTS (
    SELECT FROM presale_books JOIN presale_codes USING (event, line, sheet)
    WHERE event = $1 AND line = $2 AND digest = $4
  )
  AND NOT (
    $5
    AND EXISTS (
      SELECT FROM presale_code_uses AS used
      WHERE used.event = $1 AND used.line = $2 AND used.digest = $4 AND used.buyer <> $3
    )
  )
