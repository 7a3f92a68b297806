-- Keep what the lines of an event were told. Since when they may be joined only gets earlier.
-- $1 event  $2 lines  $3 joined from  $4 draws, or null  $5 chains, or null  $6 rounds, or null
INSERT INTO draw_promises AS known (event, line, joined_from, draw_at, chain, round)
SELECT $1, line, joined_from, draw_at, chain, round
FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::bigint[])
  AS told (line, joined_from, draw_at, chain, round)
ON CONFLICT (event, line) DO UPDATE SET
  joined_from = least(known.joined_from, excluded.joined_from),
  draw_at = excluded.draw_at, chain = excluded.chain, round = excluded.round
