-- The map of each event's seats that buyers are shown: what was read last, under one version for all processes.
--
-- Processes take turns at reading the seats. A turn begins (turn, turn_at) before its reading, and only the last turn
-- that was taken can be finished: so the version grows in the order of the readings, whoever makes them, and a process
-- that slept over its turn shows nothing old as new.
CREATE TABLE seat_maps (
  event text PRIMARY KEY,
  turn bigint NOT NULL DEFAULT 0,
  turn_at timestamptz NOT NULL DEFAULT to_timestamp(0),
  -- When the last finished reading began: the map is as old as this.
  read_at timestamptz NOT NULL DEFAULT to_timestamp(0),
  -- The newest sale sheet that a reading was made with. Who has an older one does not know the whole house.
  sale_version bigint NOT NULL DEFAULT 0,
  -- Milliseconds of this server's clock, but always greater than before; 0: never read. By the clock, so that not even a
  -- database restored from an older copy gives a number out twice.
  version bigint NOT NULL DEFAULT 0,
  layout text NOT NULL DEFAULT '',
  seats integer NOT NULL DEFAULT 0,
  -- Two bits a seat; see docs/seat-map.md.
  states bytea NOT NULL DEFAULT ''
) WITH (fillfactor = 50);
