-- Keep spent places; a batch may hold claims that are kept already.
-- $1 events  $2 lines  $3 epochs  $4 buyers  $5 seqs  $6 sessions  $7 times
INSERT INTO claims (event, line, epoch, buyer, seq, session, claimed_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::bigint[], $6::text[], $7::timestamptz[])
ON CONFLICT DO NOTHING
