-- What the auditor (see docs/runbook-audit.md) may do here: read orders, seats, tickets and stops, and add a stop. Nothing
-- with a person's name in it. Called again by this database's owner if the role is made after this migration.
CREATE FUNCTION let_auditor_in(p_role name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', p_role);
  EXECUTE format('GRANT SELECT ON orders, seats, tickets, sale_stops TO %I', p_role);
  EXECUTE format('GRANT INSERT (event, action, "by", reason, facts) ON sale_stops TO %I', p_role);
END
$$;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'auditor') THEN
    PERFORM let_auditor_in('auditor');
  END IF;
END
$$;
