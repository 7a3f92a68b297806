-- Keep a sheet; several pods adopt the same one.
-- $1 event  $2 version  $3 content
INSERT INTO sale_sheets (event, version, content) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
