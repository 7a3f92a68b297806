-- End a turn with what was read in it. $1 event  $2 turn  $3 version of the sale sheet it was read with
-- $4 layout  $5 seats  $6 states (all three null if nothing has changed).
-- Result: the map's version; no row if another turn was taken meanwhile: this reading is too old to show.
UPDATE seat_maps SET
  read_at = turn_at, sale_version = $3,
  version = CASE
    WHEN $6::bytea IS NULL THEN version
    ELSE greatest(version + 1, floor(extract(epoch FROM turn_at) * 1000)::bigint)
  END,
  layout = coalesce($4, layout), seats = coalesce($5, seats), states = coalesce($6, states)
WHERE event = $1 AND turn = $2
RETURNING version
