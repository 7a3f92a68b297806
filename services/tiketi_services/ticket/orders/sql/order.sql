-- One order. $1 order. Result: the order, or no row.
SELECT * FROM orders WHERE id = $1
