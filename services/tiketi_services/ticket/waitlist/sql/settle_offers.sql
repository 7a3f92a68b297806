-- What became of offers that are over; the function says how. $1 event  $2 rest after a lapse  $3 lapses that end the wait.
-- Result: entry, became.
SELECT entry, became FROM settle_offers($1, $2, $3)
