-- Let Redis know what PostgreSQL knows of a draw. Idempotent.
-- KEYS 1 epoch  2 draw (hash n, at, ready)  3 draws (hash line -> JSON)
-- ARGV 1 line  2 notice (JSON)  3 n, or '' while the entries are open  4 1 if the order is known
-- Result 1
-- @include epoch

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], 'n', ARGV[3]) end
if ARGV[4] == '1' then redis.call('HSET', KEYS[2], 'ready', 1) end
return 1
