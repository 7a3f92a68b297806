-- The memory is built, or this attempt at it is given up.
-- $1 event  $2 epoch
UPDATE events SET recovering_until = NULL WHERE event = $1 AND epoch = $2
