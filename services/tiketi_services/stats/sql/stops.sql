-- In ticket's database: every stop and what lifted it, oldest first.
SELECT id, event, action, "by", reason, facts, at FROM sale_stops ORDER BY id
