-- An event outlives its Kubernetes object: rows stay when the object is deleted.
CREATE TABLE events (
  event text PRIMARY KEY,
  uid text NOT NULL,
  first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Grows whenever the line begins anew; compared with the pair in Redis.
  epoch integer NOT NULL DEFAULT 1 CHECK (epoch >= 1),
  -- Set once the pair is known to be in Redis. From then on a Redis without it has lost its memory.
  founded_at timestamptz,
  gone_at timestamptz
);

-- Every sheet ever served. The price a buyer pays is read from here.
CREATE TABLE sale_sheets (
  event text NOT NULL REFERENCES events,
  version bigint NOT NULL,
  content jsonb NOT NULL,
  adopted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (event, version)
);

-- High-water marks of each line, raised in blocks ahead of need: what a rebuilt Redis begins at.
CREATE TABLE lines (
  event text NOT NULL REFERENCES events,
  line text NOT NULL,
  epoch integer NOT NULL,
  seq_limit bigint NOT NULL DEFAULT 0,
  serving_limit bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (event, line)
);
