-- A refund that ticket asks for again is answered again, and the auditor compares refunds with ticket's.
CREATE INDEX outbox_of_refund ON outbox ((body ->> 'refund')) WHERE key = 'payment.refunded';
CREATE INDEX refunds_learnt ON refunds (created_at);

-- As in 0004_auditor.sql, and what goes back of an order.
CREATE OR REPLACE FUNCTION let_auditor_in(p_role name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', p_role);
  EXECUTE format('GRANT SELECT ON orders, attempts, cancellations TO %I', p_role);
  EXECUTE format(
    'GRANT SELECT (order_id, attempt_id, amount, currency, payment_key, created_at) ON outcomes TO %I', p_role
  );
  EXECUTE format('GRANT SELECT (refund_id, order_id, amount, state, created_at) ON refunds TO %I', p_role);
END
$$;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'auditor') THEN
    PERFORM let_auditor_in('auditor');
  END IF;
END
$$;
