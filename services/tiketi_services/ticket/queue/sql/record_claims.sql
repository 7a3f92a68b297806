-- Keep spent places; a batch may hold claims that are kept already. What was decided before Redis was lost comes too late
-- once its rebuilding has begun: the event's row is locked, so that whoever rebuilds finds each claim either kept or refused.
-- Nor is a session begun that is over, by this clock: then no slower writer can begin it either.
-- $1 events  $2 lines  $3 buyers  $4 sessions  $5 epochs  $6 seqs  $7 times  $8 ends of the sessions
WITH standing AS MATERIALIZED (
  SELECT event, claims_since FROM events WHERE event = ANY ($1) FOR SHARE
)
INSERT INTO claims (event, line, buyer, session, seq, claimed_at, ends_at)
SELECT given.event, line, buyer, session, seq, claimed_at, ends_at
FROM standing JOIN unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::timestamptz[], $8::timestamptz[]
) AS given (event, line, buyer, session, epoch, seq, claimed_at, ends_at)
  ON given.event = standing.event AND given.epoch >= standing.claims_since
  AND given.ends_at > clock_timestamp()
ON CONFLICT DO NOTHING
