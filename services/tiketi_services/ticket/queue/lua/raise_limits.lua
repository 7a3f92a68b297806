-- Let numbers and horizon of a line go as far as PostgreSQL noted. Limits never go back.
-- KEYS 1 epoch  2 limits (hash seq, serving)
-- ARGV 1 seq  2 serving
-- Result 1
-- @include epoch

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local limits = redis.call('HMGET', KEYS[2], 'seq', 'serving')
if tonumber(ARGV[1]) > tonumber(limits[1] or 0) then redis.call('HSET', KEYS[2], 'seq', ARGV[1]) end
if tonumber(ARGV[2]) > tonumber(limits[2] or 0) then redis.call('HSET', KEYS[2], 'serving', ARGV[2]) end
return 1
