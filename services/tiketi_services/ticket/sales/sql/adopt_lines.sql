-- Know the lines of an event; limits of known ones are kept.
-- $1 event  $2 names  $3 epoch
INSERT INTO lines AS known (event, line, epoch) SELECT $1, name, $3 FROM unnest($2::text[]) AS name
ON CONFLICT (event, line) DO UPDATE SET epoch = excluded.epoch WHERE known.epoch < excluded.epoch
