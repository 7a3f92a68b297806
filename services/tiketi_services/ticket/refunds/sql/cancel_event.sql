-- Mark an event as cancelled, for ever. $1 event  $2 by whom. Result: whether that is new; no row for an event that never had a
-- sale.
INSERT INTO cancelled_events AS known (event, cancelled_by)
SELECT $1, $2 WHERE EXISTS (SELECT FROM sale_sheets WHERE event = $1)
ON CONFLICT (event) DO UPDATE SET cancelled_by = known.cancelled_by
RETURNING xmax = 0 AS is_new
