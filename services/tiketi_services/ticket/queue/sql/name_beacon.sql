-- Note what a sheet says of the beacon, if it is newer and says something else. Once the entries are fixed a beacon can
-- only be withdrawn: another one could be chosen for the order it gives.
-- $1 event  $2 line  $3 version of the sheet  $4 chain or null  $5 round or null
UPDATE draws SET beacons = beacons || jsonb_build_array(jsonb_build_object(
  'version', $3::bigint, 'chain', $4::text, 'round', $5::bigint,
  'namedAt', date_trunc('milliseconds', clock_timestamp())))
WHERE event = $1 AND line = $2 AND facts IS NULL AND (root IS NULL OR $4::text IS NULL)
  AND $3::bigint > coalesce((beacons -> -1 ->> 'version')::bigint, 0)
  AND ($4::text, $5::bigint) IS DISTINCT FROM (beacons -> -1 ->> 'chain', (beacons -> -1 ->> 'round')::bigint)
