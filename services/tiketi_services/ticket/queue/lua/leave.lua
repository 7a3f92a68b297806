-- Leave at once: place in line, offer and running session are free for others. Joining again gives the same place, unless
-- it was spent.
-- KEYS 1 epoch  2 places  3 waiting  4 returning  5 living  6 alive  7 offers  8 serving  9 claimed  10 active  11 counts
--      12 sessions
-- ARGV 1 buyer
-- Result {1 if the buyer was in line or shopping, 1 if the place is spent}
-- @include epoch
-- @include lining_up
-- @include shopping

local EPOCH, PLACES, WAITING, RETURNING, LIVING, ALIVE, OFFERS, SERVING, CLAIMED, ACTIVE, COUNTS, SESSIONS =
  unpack(KEYS)
if not epoch_of(EPOCH) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local buyer = ARGV[1]
local seq = redis.call('HGET', PLACES, buyer)
if not seq then return {0, 0} end
local left = step_out(WAITING, RETURNING, LIVING, buyer, seq) + redis.call('ZREM', ALIVE, buyer)
local offered_until = tonumber(redis.call('ZSCORE', OFFERS, buyer) or nil)
if offered_until then
  left = left + redis.call('ZREM', OFFERS, buyer)
  -- Given up before it was missed: what the offer had cost is paid back (see gauge).
  local gauge = redis.call('HMGET', SERVING, 'share', 'missed')
  if offered_until > tonumber(gauge[2] or 0) then
    redis.call('HINCRBYFLOAT', SERVING, 'tokens', string.format('%.17g', 1 - tonumber(gauge[1] or 0)))
  end
end
local is_spent = redis.call('HEXISTS', CLAIMED, buyer)
if session_end(CLAIMED, SESSIONS, ACTIVE, buyer) > 0 then left = left + redis.call('ZREM', ACTIVE, buyer) end
if left > 0 then redis.call('HINCRBY', COUNTS, 'left', 1) end
return {left > 0 and 1 or 0, is_spent}
