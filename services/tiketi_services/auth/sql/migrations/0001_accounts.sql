-- Accounts, the roles they were granted, and who granted them.
CREATE TABLE accounts (
  id uuid PRIMARY KEY,
  email text NOT NULL UNIQUE,
  name text NOT NULL,
  password_hash text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE grants (
  account uuid NOT NULL REFERENCES accounts,
  role text NOT NULL CHECK (role IN ('buyer', 'organiser', 'gate', 'sre')),
  namespace text NOT NULL,
  granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (account, role, namespace)
);

-- Only ever added to; outlives the account, so it holds no address and no name.
CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor text NOT NULL,
  action text NOT NULL CHECK (action IN ('grant', 'revoke')),
  account uuid NOT NULL,
  role text NOT NULL,
  namespace text NOT NULL
);
