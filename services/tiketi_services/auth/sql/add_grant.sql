-- Grant a role and write who did it, once. Params: account, role, namespace, actor. Result: a row if it was not there.
WITH added AS (
  INSERT INTO grants (account, role, namespace) VALUES ($1, $2, $3)
  ON CONFLICT DO NOTHING
  RETURNING account, role, namespace
)
INSERT INTO audit (actor, action, account, role, namespace)
SELECT $4, 'grant', account, role, namespace FROM added
RETURNING id
