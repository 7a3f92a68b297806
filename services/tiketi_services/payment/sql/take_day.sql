-- The oldest day that was not reconciled yet, for this process alone until the lease ends.
-- $1 first day  $2 last day  $3 lease
-- Result: one day, or none.
INSERT INTO reconciliations (day, leased_until)
SELECT wanted::date, clock_timestamp() + $3 FROM generate_series($1::date, $2::date, interval '1 day') wanted
WHERE NOT EXISTS (
  SELECT FROM reconciliations r
  WHERE r.day = wanted::date AND (finished_at IS NOT NULL OR leased_until > clock_timestamp())
)
ORDER BY wanted LIMIT 1
ON CONFLICT (day) DO UPDATE SET leased_until = EXCLUDED.leased_until
WHERE reconciliations.finished_at IS NULL AND reconciliations.leased_until <= clock_timestamp()
RETURNING day
