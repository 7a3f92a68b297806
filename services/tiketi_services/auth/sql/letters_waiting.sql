-- How many letters wait, how many of them are due, and since when the oldest was asked for (null: none).
SELECT count(*) AS waiting, count(*) FILTER (WHERE due_at <= clock_timestamp()) AS due, min(asked_at) AS oldest
FROM letters
