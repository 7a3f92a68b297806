-- Give a place back whose claim PostgreSQL never had, or had too late: the buyer is asked to claim again, and goes first.
-- KEYS 1 epoch  2 clock  3 claimed (hash buyer -> session)  4 sessions (hash)  5 active (zset by end of session, ms)
--      6 alive (zset by ms)  7 counts  8 unrecorded (zset of JSON by ms)
-- ARGV 1 buyer  2 session of the claim  3 the claim as it stands in unrecorded, '' if not known
-- Result: 1, or 0 if the place was not spent for this session
-- @include epoch
-- @include now

local EPOCH, CLOCK, CLAIMED, SESSIONS, ACTIVE, ALIVE, COUNTS, UNRECORDED = unpack(KEYS)
if not epoch_of(EPOCH) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local buyer, session = ARGV[1], ARGV[2]
redis.call('ZREM', UNRECORDED, ARGV[3])
if redis.call('HGET', CLAIMED, buyer) ~= session then return 0 end
redis.call('HDEL', CLAIMED, buyer)
if redis.call('HGET', SESSIONS, buyer) == session then
  redis.call('HDEL', SESSIONS, buyer)
  redis.call('ZREM', ACTIVE, buyer)
end
-- Alive and not in line: the next claim lines the buyer up among those who return.
redis.call('ZADD', ALIVE, now_of(CLOCK), buyer)
redis.call('HINCRBY', COUNTS, 'admitted', -1)
return 1
