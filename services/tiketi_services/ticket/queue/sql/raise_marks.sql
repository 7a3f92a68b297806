-- Let a line's numbers and its horizon go further. Marks never go back; several processes may ask for the same.
-- $1 event  $2 line  $3 seq_limit  $4 serving_limit
UPDATE lines SET seq_limit = greatest(seq_limit, $3), serving_limit = greatest(serving_limit, $4)
WHERE event = $1 AND line = $2 AND (seq_limit < $3 OR serving_limit < $4)
