-- An account and its grants. Params: id. Result: at most one row.
SELECT a.id, a.email, a.name, a.password_hash, a.created_at, a.verified_at IS NOT NULL AS is_verified,
  (SELECT coalesce(jsonb_agg(jsonb_build_array(g.role, g.namespace) ORDER BY g.role, g.namespace), '[]')
   FROM grants g WHERE g.account = a.id) AS grants
FROM accounts a WHERE a.id = $1
