-- Keep the codes that came with a sheet.
-- $1 event  $2 line  $3 version of the sheet  $4 digests
INSERT INTO presale_codes (event, line, sheet, digest) SELECT $1, $2, $3, digest FROM unnest($4::bytea[]) AS digest
