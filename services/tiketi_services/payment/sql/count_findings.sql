-- Findings that are open, by kind.
SELECT kind, count(*) AS count FROM findings WHERE gone_at IS NULL GROUP BY kind
