-- What those who may have joined a line were told of its draw, as last told. Outlives the object, and every postponement.
CREATE TABLE draw_promises (
  event text NOT NULL,
  line text NOT NULL,
  joined_from timestamptz NOT NULL,
  -- Null: that the order is that of joining.
  draw_at timestamptz,
  -- The round of the beacon; null: none was named.
  chain text,
  round bigint,
  PRIMARY KEY (event, line),
  CHECK ((chain IS NULL) = (round IS NULL))
);
