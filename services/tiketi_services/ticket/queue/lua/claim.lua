-- Spend a place: a buyer to whom a slot is offered is admitted, if there is room; anyone else learns where he stands.
-- Asked again, the admitted buyer gets the same session. More slots are offered than there are (see gauge), so this is the
-- gate: rate, slots and stock hold here. Who finds it closed goes first when there is room, by place.
-- KEYS 1 epoch  2 clock  3 places  4 waiting  5 returning (zset by place)  6 living  7 alive  8 serving  9 rate  10 offers
--      11 claimed (hash buyer -> session)  12 active (zset by end of session, ms)  13 holding  14 counts  15 draw
--      16 pace (hash by 10 s)  17 unrecorded (zset of JSON by ms)  18 sessions (hash)
-- ARGV 1 buyer  2 seq of the receipt  3 its epoch  4 place of the seq in the drawn order, 0 if not known
--      5 session to begin  6 its length (ms)  7 line, buyer, seq and session (JSON, without brackets)
--      8 opens (ms)  9 closes (ms)  10 1 if paused  11 new users per minute  12 slots  13 stock  14 claim window (ms)
--      15.. sections sold in this line
-- Result {'admitted', epoch, now, session, its end (ms), 1 if it began now, ms since the offer};
--        or {standing, epoch, now}: next, waiting;
--        or, with nothing written: unknown, stale, spent (with the session), closed, gone,
--        order (the place must be told)
-- @include epoch
-- @include now
-- @include lining_up
-- @include shopping
-- @include gauge
-- @include stock

local EPOCH, CLOCK, PLACES, WAITING, RETURNING, LIVING, ALIVE, SERVING, RATE, OFFERS, CLAIMED, ACTIVE, HOLDING, COUNTS, DRAW,
  PACE, UNRECORDED, SESSIONS = unpack(KEYS)
local epoch = epoch_of(EPOCH)
if not epoch then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(CLOCK)
local buyer, opens, closes = ARGV[1], tonumber(ARGV[8]), tonumber(ARGV[9])

local seq = tonumber(redis.call('HGET', PLACES, buyer) or nil)
if not seq then return {'unknown', epoch, now} end
if seq ~= tonumber(ARGV[2]) or tonumber(ARGV[3]) > epoch then return {'stale', epoch, now} end
local session = redis.call('HGET', CLAIMED, buyer)
if session then
  local ends = session_end(CLAIMED, SESSIONS, ACTIVE, buyer)
  if ends > now then return {'admitted', epoch, now, session, ends, 0, 0} end
  return {'spent', epoch, now, session}
end
if now >= closes then return {'closed', epoch, now} end

local place, drawn = seq, redis.call('HMGET', DRAW, 'n', 'ready')
if drawn[2] == '1' and seq <= tonumber(drawn[1]) then place = tonumber(ARGV[4]) end
if place == 0 then return {'order', epoch, now} end

local is_open = now >= opens and ARGV[10] ~= '1'
local gauge = gauge_of(SERVING, RATE, tonumber(ARGV[11]), opens, now, is_open)

-- Whether there is room for this buyer beside those with earlier places who asked before.
local function has_room()
  if not is_open then return false end
  redis.call('ZREMRANGEBYSCORE', ACTIVE, '-inf', now)
  local wanted = 1 + redis.call('ZCOUNT', RETURNING, '-inf', '(' .. place)
  return gauge.claims + 1e-9 >= wanted
    and tonumber(ARGV[12]) - redis.call('ZCARD', ACTIVE) >= wanted
    and free_stock(tonumber(ARGV[13]), COUNTS, ACTIVE, HOLDING, now, 15, wanted) >= wanted
end

local function admit(offered_until)
  local ends = math.min(now + tonumber(ARGV[6]), closes)
  redis.call('ZREM', OFFERS, buyer)
  redis.call('ZREM', ALIVE, buyer)
  redis.call('HSET', CLAIMED, buyer, ARGV[5])
  redis.call('HSET', SESSIONS, buyer, ARGV[5])
  redis.call('ZADD', ACTIVE, ends, buyer)
  redis.call('HINCRBY', COUNTS, 'admitted', 1)
  redis.call('ZADD', UNRECORDED, now, string.format('[%d, %s, %d]', epoch, ARGV[7], ends))
  if offered_until > gauge.missed then
    gauge.tokens = gauge.tokens - gauge.share
  else
    gauge.tokens = gauge.tokens - 1
    gauge.no_shows = math.max(0, gauge.no_shows - 1)
  end
  gauge.claims = gauge.claims - 1
  gauge.shows = gauge.shows + 1
  keep_gauge(SERVING, gauge, now)
  local stretch = math.floor(now / 10000)
  if redis.call('HINCRBY', PACE, stretch, 1) == 1 then
    for _, old in ipairs(redis.call('HKEYS', PACE)) do
      if tonumber(old) < stretch - 60 then redis.call('HDEL', PACE, old) end
    end
  end
  return {'admitted', epoch, now, ARGV[5], ends, 1, math.max(0, now - (offered_until - tonumber(ARGV[14])))}
end

local offered_until = tonumber(redis.call('ZSCORE', OFFERS, buyer) or 0)
if offered_until > now then
  if has_room() then return admit(offered_until) end
  redis.call('ZREM', OFFERS, buyer)
  redis.call('ZADD', ALIVE, now, buyer)
  if offered_until > gauge.missed then gauge.tokens = gauge.tokens + 1 - gauge.share end
  keep_gauge(SERVING, gauge, now)
  line_up(WAITING, RETURNING, LIVING, buyer, seq, place, math.huge)
  return {'next', epoch, now}
end

if redis.call('ZADD', ALIVE, 'XX', 'CH', now, buyer) == 0 and not redis.call('ZSCORE', ALIVE, buyer) then
  return {'gone', epoch, now}
end
if redis.call('ZSCORE', WAITING, buyer) then return {'waiting', epoch, now} end
line_up(WAITING, RETURNING, LIVING, buyer, seq, place, math.huge)
return {'next', epoch, now}
