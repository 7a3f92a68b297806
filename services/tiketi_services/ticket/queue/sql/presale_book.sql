-- Version of the codes that a presale takes now.
-- $1 event  $2 line
SELECT version FROM presale_books WHERE event = $1 AND line = $2
