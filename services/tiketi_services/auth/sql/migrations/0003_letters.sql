-- Letters about orders, refunds and cancelled events: what ticket has told, until a mail server has taken it.
CREATE TABLE letters (
  -- Id of the message, and of the mail: a mailbox can tell a repetition.
  id uuid PRIMARY KEY,
  -- Who closes their account takes their letters with them.
  account uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
  -- As it came. It has neither address nor name: those are looked up when the letter is sent.
  message jsonb NOT NULL,
  asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempts integer NOT NULL DEFAULT 0
);
CREATE INDEX letters_due ON letters (due_at);
CREATE INDEX letters_of_account ON letters (account);

-- Messages that were applied: see tiketi_runtime.outbox.
CREATE TABLE inbox (
  id uuid PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX inbox_by_age ON inbox USING brin (applied_at);
