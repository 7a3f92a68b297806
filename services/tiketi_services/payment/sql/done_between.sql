-- Payment keys of attempts that the vendor has charged, by when we learnt of it; page by page.
-- $1 from  $2 before  $3 the last key of the page before, or ''  $4 most
SELECT payment_key FROM attempts
WHERE state = 'DONE' AND ended_at >= $1 AND ended_at < $2 AND payment_key > $3
ORDER BY payment_key LIMIT $4
