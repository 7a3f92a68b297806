-- Whether a session is live.
-- KEYS 1 epoch  2 clock  3 claimed (hash buyer -> session)  4 active (zset by end of session, ms)
--      5 sessions (hash)
-- ARGV 1 buyer  2 session
-- Result {'live', its end (ms)}; or {'over'}: its time is up or it was given up; or {'foreign'}: not this buyer's
-- @include epoch
-- @include now
-- @include shopping

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(KEYS[2])
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then return {'foreign'} end
local ends = session_end(KEYS[3], KEYS[5], KEYS[4], ARGV[1])
if ends > now then return {'live', ends} end
return {'over'}
