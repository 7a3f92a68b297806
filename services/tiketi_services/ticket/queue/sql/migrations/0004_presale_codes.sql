-- Which codes each presale takes now. Codes themselves are never stored, only their digests.
CREATE TABLE presale_books (
  event text NOT NULL,
  line text NOT NULL,
  -- Digest of all digests, as the sale sheet names it.
  version text NOT NULL,
  -- Version of the sale sheet that brought the book. A pod that is behind never puts an older book back.
  sheet bigint NOT NULL,
  PRIMARY KEY (event, line)
);

CREATE TABLE presale_codes (
  event text NOT NULL,
  line text NOT NULL,
  sheet bigint NOT NULL,
  digest bytea NOT NULL CHECK (octet_length(digest) = 32),
  PRIMARY KEY (event, line, sheet, digest)
);

-- Who came in by which code. Stays when the code is taken away: nobody loses a place by that.
CREATE TABLE presale_code_uses (
  event text NOT NULL,
  line text NOT NULL,
  buyer text NOT NULL,
  digest bytea NOT NULL,
  is_once boolean NOT NULL,
  used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (event, line, buyer)
);

CREATE INDEX presale_code_uses_digest ON presale_code_uses (event, line, digest);

-- Two tries at one code at the same moment: one of them is refused here.
CREATE UNIQUE INDEX presale_code_uses_once ON presale_code_uses (event, line, digest) WHERE is_once;
