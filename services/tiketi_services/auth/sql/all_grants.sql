-- Every role that was given. Result: email, role, namespace.
SELECT a.email, g.role, g.namespace FROM grants g JOIN accounts a ON a.id = g.account
ORDER BY a.email, g.role, g.namespace
