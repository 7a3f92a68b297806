-- Join the line, once per buyer for ever: who left or went silent gets the same place again, and who brings the receipt of
-- a place that Redis has lost gets that place. Of two places of one buyer the earlier one counts.
-- KEYS 1 epoch  2 clock  3 seq (counter)  4 places (hash buyer -> seq)  5 waiting (zset by seq)  6 returning (zset by place)
--      7 living (bitmap by seq)  8 alive (zset by ms)  9 serving (hash)  10 offers (zset by ms)  11 claimed (hash)
--      12 active (zset by ms)  13 counts (hash)  14 draw (hash)  15 limits (hash)  16 sessions (hash)
-- ARGV 1 buyer  2 from when buyers may join (ms)  3 until when (ms)  4 time of the draw (ms), 0 for none
--      5 new buyers: 1 welcome, 0 refused, '?' to be asked for more first  6 seq of a receipt, 0 for none  7 its epoch
--      8 a seq  9 its place in the drawn order
-- Result {standing, epoch, now, seq, entries (-1: not fixed), 1 if drawn, 1 if new}; standing: waiting, next, offered,
--        admitted;
--        or, with nothing written: early, closed, refused, new, limit (no number left), spent (with the session in
--        place of seq);
--        order (the place of this seq must be told)
-- @include epoch
-- @include now
-- @include entries
-- @include lining_up
-- @include shopping

local EPOCH, CLOCK, SEQ, PLACES, WAITING, RETURNING, LIVING, ALIVE, SERVING, OFFERS, CLAIMED, ACTIVE, COUNTS, DRAW, LIMITS,
  SESSIONS = unpack(KEYS)
local epoch = epoch_of(EPOCH)
if not epoch then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(CLOCK)
local buyer, newcomers = ARGV[1], ARGV[5]
if now < tonumber(ARGV[2]) then return {'early', epoch, now} end
if now >= tonumber(ARGV[3]) then return {'closed', epoch, now} end
local entries, is_drawn = entries_of(DRAW, SEQ, tonumber(ARGV[4]), now)

local known = tonumber(redis.call('HGET', PLACES, buyer) or nil)
local function answer(standing, seq, is_new)
  return {standing, epoch, now, seq, entries or -1, is_drawn and 1 or 0, is_new and 1 or 0}
end

if redis.call('HEXISTS', CLAIMED, buyer) == 1 then
  if session_end(CLAIMED, SESSIONS, ACTIVE, buyer) <= now then return {'spent', epoch, now, redis.call('HGET', CLAIMED, buyer)} end
  return answer('admitted', known)
end

local seq, last = known, tonumber(redis.call('HGET', LIMITS, 'seq') or 0)
local told = tonumber(ARGV[6])
-- Once the entries are fixed, who is one of them stays so: a second number, got by joining anew after a loss, must not
-- become the choice between two places.
local is_entry = known and entries and known <= entries
if told > 0 and told <= last and tonumber(ARGV[7]) <= epoch and not is_entry then seq = math.min(told, known or told) end

if not seq then
  if newcomers == '0' then return {'refused', epoch, now} end
  if newcomers == '?' then return {'new', epoch, now} end
  if tonumber(redis.call('GET', SEQ) or 0) >= last then return {'limit', epoch, now} end
  seq = redis.call('INCR', SEQ)
  redis.call('HSET', PLACES, buyer, seq)
  redis.call('ZADD', ALIVE, now, buyer)
  redis.call('HINCRBY', COUNTS, 'joined', 1)
  -- A new number is beyond the horizon, whose mark is never above that of the numbers.
  line_up(WAITING, RETURNING, LIVING, buyer, seq, seq, 0)
  return answer('waiting', seq, true)
end

if seq == known then
  local standing
  if tonumber(redis.call('ZSCORE', OFFERS, buyer) or 0) > now then standing = 'offered'
  elseif redis.call('ZSCORE', WAITING, buyer) then standing = 'waiting'
  elseif redis.call('ZSCORE', RETURNING, buyer) then standing = 'next' end
  if standing then
    redis.call('ZADD', ALIVE, now, buyer)
    return answer(standing, seq)
  end
end

local horizon, place = tonumber(redis.call('HGET', SERVING, 'horizon') or 0), seq
if is_drawn and seq <= entries then
  if tonumber(ARGV[8]) ~= seq then return answer('order', seq) end
  place = tonumber(ARGV[9])
end
if seq ~= known then
  if known then
    step_out(WAITING, RETURNING, LIVING, buyer, known)
  else
    redis.call('HINCRBY', COUNTS, 'joined', 1)
  end
  redis.call('HSET', PLACES, buyer, seq)
end
redis.call('ZADD', ALIVE, now, buyer)
if tonumber(redis.call('ZSCORE', OFFERS, buyer) or 0) > now then return answer('offered', seq) end
line_up(WAITING, RETURNING, LIVING, buyer, seq, place, horizon)
return answer(place <= horizon and 'next' or 'waiting', seq)
