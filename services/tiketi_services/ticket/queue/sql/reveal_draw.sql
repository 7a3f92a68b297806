-- Show the secret. The first facts stand; none are taken if another beacon was named since they were put together.
-- $1 event  $2 line  $3 facts  $4 when  $5 how many beacons were named by then
UPDATE draws SET facts = $3, drawn_at = $4
WHERE event = $1 AND line = $2 AND root IS NOT NULL AND facts IS NULL AND jsonb_array_length(beacons) = $5
