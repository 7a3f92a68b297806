-- From here on claims of earlier epochs are not kept, and no number or place that may have been used is used again: each
-- line goes on beyond its marks, which are raised by a block (once, however often it is tried). Serving marks of lines that
-- were never served stay 0. That a line was lost is noted, once as well.
-- $1 event  $2 epoch  $3 block
-- Result: line, seq and horizon to go on from, the marks, how many waited; no row unless the epoch is still ours
WITH before AS (
  SELECT event, is_fresh FROM events WHERE event = $1 AND epoch = $2 AND gone_at IS NULL FOR UPDATE
), fenced AS (
  UPDATE events SET claims_since = epoch, is_fresh = true FROM before WHERE events.event = before.event
), raised AS (
  UPDATE lines SET
    seq_limit = seq_limit + CASE WHEN is_fresh THEN 0 ELSE $3 END,
    serving_limit = serving_limit + CASE WHEN is_fresh OR serving_limit = 0 THEN 0 ELSE $3 END
  FROM before WHERE lines.event = before.event
  RETURNING line, greatest(seq_limit - $3, 0) AS seq, greatest(serving_limit - $3, 0) AS horizon,
    seq_limit, serving_limit, living
), noted AS (
  INSERT INTO line_losses (event, line, epoch, numbers_to, waiting)
  SELECT $1, line, $2, seq, living FROM raised, before WHERE seq > 0 AND NOT is_fresh
  ON CONFLICT DO NOTHING
)
SELECT line, seq, horizon, seq_limit, serving_limit, living FROM raised
