-- Put back spent places of one line, and the sessions that go on.
-- KEYS 1 epoch  2 clock  3 places (hash buyer -> seq)  4 claimed (hash buyer -> session)  5 active (zset by ms)
--      6 counts (hash)  7 sessions (hash buyer -> session that runs)
-- ARGV 1 epoch that is built  2.. buyer, seq, session, end of the session (ms; 0: it was ended)
-- Result 1; 0 if somebody else took over, or Redis lost it again, and nothing is written
-- @include building
-- @include now

if not is_building(KEYS[1], ARGV[1]) then return 0 end
local now = now_of(KEYS[2])
for i = 2, #ARGV, 4 do
  local buyer, ends = ARGV[i], tonumber(ARGV[i + 3])
  redis.call('HSET', KEYS[3], buyer, ARGV[i + 1])
  redis.call('HSET', KEYS[4], buyer, ARGV[i + 2])
  if ends > now and redis.call('ZADD', KEYS[5], 'GT', 'CH', ends, buyer) == 1 then
    redis.call('HSET', KEYS[7], buyer, ARGV[i + 2])
  end
end
redis.call('HINCRBY', KEYS[6], 'admitted', (#ARGV - 1) / 4)
return 1
