-- What of an order was given back: tickets, and their price in minor units.
ALTER TABLE sales
  ADD COLUMN returned integer NOT NULL DEFAULT 0,
  ADD COLUMN returned_amount bigint NOT NULL DEFAULT 0;
