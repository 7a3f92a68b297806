-- In ticket's database: the next orders by id. $1 after this one  $2 one event, or null  $3 most
SELECT id FROM orders WHERE id > $1 AND ($2::text IS NULL OR event = $2) ORDER BY id LIMIT $3
