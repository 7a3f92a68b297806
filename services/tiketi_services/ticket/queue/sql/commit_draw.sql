-- Bind the operator to a secret. The first commitment stands.
-- $1 event  $2 line  $3 commitment
INSERT INTO draws (event, line, commitment) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
