-- Let an account into a presale by a code, or because it came in before, by whichever code.
-- $1 event  $2 line  $3 buyer  $4 digest of the code; null: none was given  $5 whether a code is one account's
-- Result: whether the account is let in. Raises unique_violation if the code was taken while this was decided.
WITH taken AS (
  INSERT INTO presale_code_uses (event, line, buyer, digest, is_once)
  SELECT event, line, $3, digest, $5
  FROM presale_books JOIN presale_codes AS code USING (event, line, sheet)
  WHERE event = $1 AND line = $2 AND digest = $4
    AND NOT (
      $5
      AND EXISTS (
        SELECT FROM presale_code_uses AS used
        WHERE used.event = $1 AND used.line = $2 AND used.digest = $4 AND used.buyer <> $3
      )
    )
  ON CONFLICT (event, line, buyer) DO UPDATE SET buyer = excluded.buyer  -- changes nothing, and answers a row
  RETURNING true
)
SELECT EXISTS (TABLE taken)
  OR EXISTS (SELECT FROM presale_code_uses WHERE event = $1 AND line = $2 AND buyer = $3)
