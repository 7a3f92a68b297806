-- What the auditor (see docs/runbook-audit.md) may do here: read how orders stand and what was charged. No signed outcome.
-- Called again by this database's owner if the role is made after this migration.
CREATE FUNCTION let_auditor_in(p_role name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', p_role);
  EXECUTE format('GRANT SELECT ON orders, attempts, cancellations TO %I', p_role);
  EXECUTE format(
    'GRANT SELECT (order_id, attempt_id, amount, currency, payment_key, created_at) ON outcomes TO %I', p_role
  );
END
$$;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'auditor') THEN
    PERFORM let_auditor_in('auditor');
  END IF;
END
$$;
