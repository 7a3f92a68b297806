-- Whose name stands on an order's tickets: that of the buyer's account when it was placed. Only ever added to, so nobody
-- can pass a ticket on by giving it another name. A table of its own: it is the one place with a name in it.
CREATE TABLE order_owners (
  order_id uuid PRIMARY KEY REFERENCES orders,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100)
);
