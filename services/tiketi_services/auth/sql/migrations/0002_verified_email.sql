-- Whether the owner of an address has shown that its mail reaches them, and the mails that ask for it.
ALTER TABLE accounts ADD COLUMN verified_at timestamptz;

-- At most one mail waits for an account. It is written here in the transaction that causes it and goes when the mail
-- server has taken it. Address and token are put in when it is sent: neither is stored twice, none arrives expired.
CREATE TABLE verification_mails (
  account uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
  asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempts integer NOT NULL DEFAULT 0
);
CREATE INDEX verification_mails_due ON verification_mails (due_at);
