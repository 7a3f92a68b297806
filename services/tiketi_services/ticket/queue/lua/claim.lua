-- Spend a place: a buyer to whom a slot is offered is admitted; anyone else learns where he stands. Asked again, the
-- admitted buyer gets the same session.
-- KEYS 1 epoch  2 clock  3 places  4 claimed (hash buyer -> session)  5 active (zset by end of session, ms)
--      6 offers  7 waiting  8 returning  9 alive  10 counts  11 unrecorded (zset of JSON by ms)
-- ARGV 1 buyer  2 seq of the receipt  3 epoch of the receipt  4 session to begin  5 its length (ms)  6 opens (ms)
--      7 closes (ms)  8 1 if paused  9 line
-- Result {'admitted', session, its end (ms), 1 if it began now}; or {standing}: next, waiting;
--        or, with nothing written: unknown, stale, spent, closed, gone
-- @include epoch
-- @include now

local epoch = epoch_of(KEYS[1])
if not epoch then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(KEYS[2])
local buyer, closes = ARGV[1], tonumber(ARGV[7])

local seq = redis.call('HGET', KEYS[3], buyer)
if not seq then return {'unknown'} end
if seq ~= ARGV[2] or epoch ~= tonumber(ARGV[3]) then return {'stale'} end
local session = redis.call('HGET', KEYS[4], buyer)
if session then
  local ends = tonumber(redis.call('ZSCORE', KEYS[5], buyer) or 0)
  if ends > now then return {'admitted', session, ends, 0} end
  return {'spent'}
end
if now >= closes then return {'closed'} end

local offer = tonumber(redis.call('ZSCORE', KEYS[6], buyer) or 0)
if offer > now then
  if now < tonumber(ARGV[6]) or ARGV[8] == '1' then return {'next'} end
  local ends = math.min(now + tonumber(ARGV[5]), closes)
  redis.call('ZREM', KEYS[6], buyer)
  redis.call('ZREM', KEYS[9], buyer)
  redis.call('HSET', KEYS[4], buyer, ARGV[4])
  redis.call('ZADD', KEYS[5], 'GT', ends, buyer)
  redis.call('HINCRBY', KEYS[10], 'admitted', 1)
  redis.call('ZADD', KEYS[11], now, cjson.encode({ARGV[9], epoch, buyer, tonumber(seq), ARGV[4], now}))
  return {'admitted', ARGV[4], ends, 1}
end

if redis.call('ZADD', KEYS[9], 'XX', 'CH', now, buyer) == 0 and not redis.call('ZSCORE', KEYS[9], buyer) then
  return {'gone'}
end
if redis.call('ZSCORE', KEYS[7], buyer) then return {'waiting'} end
redis.call('ZADD', KEYS[8], seq, buyer)
return {'next'}
