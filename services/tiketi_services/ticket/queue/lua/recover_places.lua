-- Buyers who are connected present the receipts of places that Redis has lost: the places are theirs again. Of two places
-- of one buyer the earlier one counts, except that an entry of a draw stays that entry. Whoever Redis knows by this place or
-- an earlier one is left alone: who left stays away.
-- KEYS 1 epoch  2 clock  3 places (hash buyer -> seq)  4 waiting (zset by seq)  5 returning (zset by place)
--      6 living (bitmap by seq)  7 alive (zset by ms)  8 serving (hash)  9 offers (zset by ms)  10 claimed (hash)
--      11 counts (hash)  12 draw (hash)  13 limits (hash)
-- ARGV 1, 4, ... buyer  2, 5, ... seq  3, 6, ... place in the drawn order, 0 if not known
-- Result: how many places were brought back
-- @include epoch
-- @include now
-- @include lining_up

local EPOCH, CLOCK, PLACES, WAITING, RETURNING, LIVING, ALIVE, SERVING, OFFERS, CLAIMED, COUNTS, DRAW, LIMITS = unpack(KEYS)
if not epoch_of(EPOCH) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(CLOCK)
local horizon = tonumber(redis.call('HGET', SERVING, 'horizon') or 0)
local last = tonumber(redis.call('HGET', LIMITS, 'seq') or 0)
local drawn = redis.call('HMGET', DRAW, 'n', 'ready')
local fixed = tonumber(drawn[1] or 0)
local entries = drawn[2] == '1' and fixed or 0

local function bring_back(buyer, seq, place)
  if seq > last or redis.call('HEXISTS', CLAIMED, buyer) == 1 then return 0 end
  local known = tonumber(redis.call('HGET', PLACES, buyer) or nil)
  if known and (known <= seq or known <= fixed) then return 0 end
  if seq > entries then place = seq end
  if place == 0 then return 0 end
  if known then
    step_out(WAITING, RETURNING, LIVING, buyer, known)
  else
    redis.call('HINCRBY', COUNTS, 'joined', 1)
  end
  redis.call('HSET', PLACES, buyer, seq)
  redis.call('ZADD', ALIVE, now, buyer)
  if tonumber(redis.call('ZSCORE', OFFERS, buyer) or 0) <= now then
    line_up(WAITING, RETURNING, LIVING, buyer, seq, place, horizon)
  end
  return 1
end

local back = 0
for i = 1, #ARGV, 3 do back = back + bring_back(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])) end
return back
