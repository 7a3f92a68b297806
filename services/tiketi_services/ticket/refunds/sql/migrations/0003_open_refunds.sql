-- Refunds that payment does not answer are asked for again: they and their messages are found fast, and the auditor
-- compares them with payment's.
CREATE INDEX refunds_open ON refunds (requested_at) WHERE state = 'REQUESTED';
CREATE INDEX outbox_of_refund ON outbox ((body ->> 'refund')) WHERE key = 'refund.requested';

-- As in 0007_auditor.sql of ticket/orders, and what was given back of an order; not by whom or why.
CREATE OR REPLACE FUNCTION let_auditor_in(p_role name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', p_role);
  EXECUTE format('GRANT SELECT ON orders, seats, tickets, sale_stops TO %I', p_role);
  EXECUTE format('GRANT INSERT (event, action, "by", reason, facts) ON sale_stops TO %I', p_role);
  EXECUTE format('GRANT SELECT (id, order_id, amount, state, requested_at) ON refunds TO %I', p_role);
END
$$;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'auditor') THEN
    PERFORM let_auditor_in('auditor');
  END IF;
END
$$;
