-- A slice of a draw's leaves.
-- $1 event  $2 line  $3 first byte, from 1  $4 bytes
-- Result: slice
SELECT substring(leaves FROM $3 FOR $4) AS slice FROM draws WHERE event = $1 AND line = $2
