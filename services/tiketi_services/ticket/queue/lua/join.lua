-- Join the line, once per buyer for ever: who left or went silent gets the same place again.
-- KEYS 1 epoch  2 clock  3 seq (counter)  4 places (hash buyer -> seq)  5 waiting (zset by seq)  6 alive (zset by ms)
--      7 serving (hash)  8 offers (zset by ms)  9 returning (zset by seq)  10 claimed (hash)  11 active (zset by ms)
--      12 counts (hash)
-- ARGV 1 buyer  2 from when buyers may join (ms)  3 until when (ms)  4 1 if new buyers may join
-- Result {standing, epoch, now, seq}; standing: waiting, next, offered, admitted;
--        or, with nothing written: early, closed, refused, spent (without seq)
-- @include epoch
-- @include now

local epoch = epoch_of(KEYS[1])
if not epoch then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(KEYS[2])
local buyer = ARGV[1]
if now < tonumber(ARGV[2]) then return {'early', epoch, now} end
if now >= tonumber(ARGV[3]) then return {'closed', epoch, now} end

local seq = tonumber(redis.call('HGET', KEYS[4], buyer))
if not seq then
  if ARGV[4] ~= '1' then return {'refused', epoch, now} end
  seq = redis.call('INCR', KEYS[3])
  redis.call('HSET', KEYS[4], buyer, seq)
  redis.call('ZADD', KEYS[5], seq, buyer)
  redis.call('ZADD', KEYS[6], now, buyer)
  redis.call('HINCRBY', KEYS[12], 'joined', 1)
  return {'waiting', epoch, now, seq}
end

if redis.call('HEXISTS', KEYS[10], buyer) == 1 then
  local session_end = tonumber(redis.call('ZSCORE', KEYS[11], buyer) or 0)
  if session_end <= now then return {'spent', epoch, now} end
  return {'admitted', epoch, now, seq}
end
redis.call('ZADD', KEYS[6], now, buyer)
if tonumber(redis.call('ZSCORE', KEYS[8], buyer) or 0) > now then return {'offered', epoch, now, seq} end
if seq <= tonumber(redis.call('HGET', KEYS[7], 'horizon') or 0) then
  redis.call('ZADD', KEYS[9], seq, buyer)
  return {'next', epoch, now, seq}
end
redis.call('ZADD', KEYS[5], seq, buyer)
return {'waiting', epoch, now, seq}
