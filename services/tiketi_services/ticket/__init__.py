"""ticket: the catalogue of sales, the line, and from the first hold on, whose seat it is."""
