-- Forget the codes that came with older sheets. Who came in by them stays.
-- $1 event  $2 line  $3 version of the sheet
DELETE FROM presale_codes WHERE event = $1 AND line = $2 AND sheet < $3
