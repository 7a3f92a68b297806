-- Mark an event as cancelled, for ever, and stop its sale in the same commit. $1 event  $2 by whom.
-- Result: whether that is new; no row for an event that never had a sale.
WITH marked AS (
  INSERT INTO cancelled_events AS known (event, cancelled_by)
  SELECT $1, $2 WHERE EXISTS (SELECT FROM sale_sheets WHERE event = $1)
  ON CONFLICT (event) DO UPDATE SET cancelled_by = known.cancelled_by
  RETURNING event, xmax = 0 AS is_new
), stopped AS (
  -- Whatever stops there were: this is the one that is never lifted.
  INSERT INTO sale_stops (event, action, "by", reason, facts)
  SELECT event, 'STOP', $2, 'the event is cancelled', jsonb_build_array(jsonb_build_object(
    'kind', 'event-cancelled', 'subject', event, 'told', 'cancelled by ' || $2::text))
  FROM marked WHERE is_new
)
SELECT is_new FROM marked
