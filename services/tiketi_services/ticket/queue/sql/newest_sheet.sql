-- $1 event
-- Result: content
SELECT content FROM sale_sheets WHERE event = $1 ORDER BY version DESC LIMIT 1
