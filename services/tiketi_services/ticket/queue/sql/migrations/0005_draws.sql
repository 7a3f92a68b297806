-- The draw of a line, step by step; a step once taken never changes. An event's draws outlive its object.
CREATE TABLE draws (
  event text NOT NULL,
  line text NOT NULL,
  -- SHA-256 of the secret, before anybody can join.
  commitment bytea NOT NULL CHECK (octet_length(commitment) = 32),
  committed_at timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
  -- What sale sheets said of the beacon, oldest first: [{version, chain, round, namedAt}].
  beacons jsonb NOT NULL DEFAULT '[]',
  -- The entries closed.
  n bigint CHECK (n BETWEEN 0 AND 4294967296),
  draw_at timestamptz,
  closed_at timestamptz,
  -- Their Merkle tree: root, and leaves one behind the other.
  root bytea CHECK (octet_length(root) = 32),
  leaves bytea CHECK (octet_length(leaves) = 32 * n),
  fixed_at timestamptz,
  -- Everything else the order depends on, and the operator's signed word for all of it.
  facts jsonb,
  drawn_at timestamptz,
  PRIMARY KEY (event, line),
  CHECK ((n IS NULL) = (closed_at IS NULL) AND (n IS NULL) = (draw_at IS NULL)),
  CHECK ((root IS NULL) = (leaves IS NULL) AND (root IS NULL) = (fixed_at IS NULL)),
  CHECK ((facts IS NULL) = (drawn_at IS NULL)),
  CHECK (root IS NULL OR n IS NOT NULL),
  CHECK (facts IS NULL OR root IS NOT NULL)
);
-- Leaves are hashes: they cannot be compressed, and are read in slices.
ALTER TABLE draws ALTER COLUMN leaves SET STORAGE EXTERNAL;
