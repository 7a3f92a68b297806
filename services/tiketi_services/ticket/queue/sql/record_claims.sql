-- Keep spent places; a batch may hold claims that are kept already. What was decided before Redis was lost comes too late
-- once its rebuilding has begun: the event's row is locked, so that whoever rebuilds finds each claim either kept or refused.
-- Nor is a session begun that is late, or over.
-- $1 events  $2 lines  $3 buyers  $4 sessions  $5 epochs  $6 seqs  $7 times  $8 ends of the sessions  $9 which are late
WITH standing AS MATERIALIZED (
  SELECT event, claims_since FROM events WHERE event = ANY ($1) FOR SHARE
)
INSERT INTO claims (event, line, buyer, session, seq, claimed_at, ends_at)
SELECT given.event, line, buyer, session, seq, claimed_at, ends_at
FROM standing JOIN unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::timestamptz[], $8::timestamptz[], $9::bool[]
) AS given (event, line, buyer, session, epoch, seq, claimed_at, ends_at, is_late)
  ON given.event = standing.event AND given.epoch >= standing.claims_since
  AND NOT given.is_late AND given.ends_at > clock_timestamp()
ON CONFLICT DO NOTHING
