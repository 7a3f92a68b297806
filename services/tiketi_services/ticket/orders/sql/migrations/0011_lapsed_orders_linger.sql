-- Seats of an order that was not paid in time return as those of a hold that ran out (0004_lasting_holds.sql): by its name a
-- seat can be held at once, but it looks held for a random time of up to a tenth of the time to pay, one for the order.
-- A buyer who gives an order up frees its seats at once, as by giving back a hold.
CREATE OR REPLACE FUNCTION free_seats(p_event text, p_seats text[], p_order uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_seat text;
  v_linger interval;
BEGIN
  SELECT (o.pay_by - o.placed_at) / 10 * random() INTO v_linger FROM orders o
  WHERE o.id = p_order AND o.cancel_requested_at IS NULL;
  FOREACH v_seat IN ARRAY p_seats LOOP
    IF v_linger IS NULL THEN
      DELETE FROM seats WHERE event = p_event AND seat = v_seat AND order_id = p_order AND state = 'PLACED';
    ELSE
      UPDATE seats SET state = 'HELD', order_id = NULL, until = clock_timestamp(), linger = v_linger
      WHERE event = p_event AND seat = v_seat AND order_id = p_order AND state = 'PLACED';
    END IF;
    IF NOT FOUND THEN
      RETURN refuse('order without its seats');
    END IF;
  END LOOP;
  RETURN true;
END
$$;
