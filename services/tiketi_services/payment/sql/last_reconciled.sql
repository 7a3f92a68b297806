-- The newest day that was reconciled.
SELECT max(day) FROM reconciliations WHERE finished_at IS NOT NULL
