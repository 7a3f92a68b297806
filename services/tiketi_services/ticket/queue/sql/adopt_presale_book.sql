-- Let other codes be taken from now on, unless those of a newer sheet are.
-- $1 event  $2 line  $3 version of the codes  $4 version of the sheet
-- Result: a row if so
INSERT INTO presale_books AS known (event, line, version, sheet) VALUES ($1, $2, $3, $4)
ON CONFLICT (event, line) DO UPDATE SET version = excluded.version, sheet = excluded.sheet
WHERE known.sheet < excluded.sheet
RETURNING true
