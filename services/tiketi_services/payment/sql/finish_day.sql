-- A day is reconciled. What it had found before and does not find any more is gone.
-- $1 day  $2 transactions  $3 findings  $4 begin of this run
WITH gone AS (
  UPDATE findings SET gone_at = clock_timestamp() WHERE day = $1 AND gone_at IS NULL AND last_seen_at < $4
)
INSERT INTO reconciliations (day, leased_until, finished_at, transactions, findings)
VALUES ($1, clock_timestamp(), clock_timestamp(), $2, $3)
ON CONFLICT (day) DO UPDATE SET finished_at = clock_timestamp(), transactions = $2, findings = $3
