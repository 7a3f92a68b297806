-- Have a letter sent about a message to the buyer it names, once its inbox key is new. Nobody is written to who has no
-- account any more, or whose address was never verified: it may be a stranger's.
-- Params: id of the message, account, message. Result: a row if there will be a letter.
INSERT INTO letters (id, account, message) SELECT $1, id, $3 FROM accounts WHERE id = $2 AND verified_at IS NOT NULL
RETURNING id
