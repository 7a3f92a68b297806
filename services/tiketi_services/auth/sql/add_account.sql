-- Add an account. Params: id, email (normalised), name, password_hash. Result: its id, or no row when the address is taken.
INSERT INTO accounts (id, email, name, password_hash) VALUES ($1, $2, $3, $4)
ON CONFLICT (email) DO NOTHING
RETURNING id
