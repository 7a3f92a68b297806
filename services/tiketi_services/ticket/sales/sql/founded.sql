-- The line has begun in Redis.
-- $1 event  $2 epoch in force there
UPDATE events SET epoch = $2, founded_at = clock_timestamp() WHERE event = $1 AND founded_at IS NULL
