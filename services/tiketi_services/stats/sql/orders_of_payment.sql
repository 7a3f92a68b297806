-- In payment's database: the next orders by id. $1 after this one  $2 one event, or null  $3 most
SELECT order_id AS id FROM orders WHERE order_id > $1 AND ($2::text IS NULL OR event = $2) ORDER BY order_id LIMIT $3
