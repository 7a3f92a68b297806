-- Spent places: nobody is admitted twice for one place, whatever becomes of Redis.
CREATE TABLE claims (
  event text NOT NULL,
  line text NOT NULL,
  epoch integer NOT NULL,
  buyer text NOT NULL,
  seq bigint NOT NULL,
  session text NOT NULL,
  claimed_at timestamptz NOT NULL,
  PRIMARY KEY (event, line, epoch, buyer),
  UNIQUE (event, line, epoch, seq)
);
