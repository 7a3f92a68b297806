-- Take a role away and write who did it. Params: account, role, namespace, actor. Result: a row if it was there.
WITH removed AS (
  DELETE FROM grants WHERE account = $1 AND role = $2 AND namespace = $3
  RETURNING account, role, namespace
)
INSERT INTO audit (actor, action, account, role, namespace)
SELECT $4, 'revoke', account, role, namespace FROM removed
RETURNING id
