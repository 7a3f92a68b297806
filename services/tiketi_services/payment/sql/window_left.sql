-- The vendor's window was left without authentication: keep its code for whoever is asked about it. Nothing else changes.
-- $1 vendor order id  $2 code
UPDATE attempts SET code = $2 WHERE vendor_order_id = $1 AND state = 'READY'
