-- Buyers of a passthrough sale who were admitted while Redis could not give out numbers have numbers below zero.
CREATE SEQUENCE places_past_the_line INCREMENT -1 MAXVALUE -1 START -1;
