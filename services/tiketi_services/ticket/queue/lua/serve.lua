-- Offer slots to the next places, as many as rate, slots and stock allow. Idempotent: any pod may call it at any moment.
-- First come those whose place was passed and who asked again, then the horizon moves on. The horizon only grows.
-- An offer that lapses frees its slot and gives its token back, so that no-shows do not slow the line.
-- KEYS 1 epoch  2 clock  3 serving (hash horizon, tokens, at)  4 waiting  5 returning  6 active  7 counts
--      8 offers of this line  9.. offers of the event's other lines
-- ARGV 1 opens (ms)  2 closes (ms)  3 new users per minute  4 slots  5 stock  6 claim window (ms)  7 1 if paused
--      8 most offers in one call  9.. sections sold in this line
-- Result {horizon, number offered now, number lapsed now}
-- @include epoch
-- @include now

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(KEYS[2])
local opens, closes, paused = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[7] == '1'
local serving = redis.call('HMGET', KEYS[3], 'horizon', 'tokens', 'at')
local horizon = tonumber(serving[1] or 0)
local tokens = tonumber(serving[2] or 1)
local at = tonumber(serving[3] or now)

local lapsed = redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now)

-- A clock that jumps, or pods that were away, must not open the gate at once: at most 2 s count.
local per_ms = tonumber(ARGV[3]) / 60000
local elapsed = math.min(2000, math.max(0, now - at))
local is_open = now >= opens and now < closes and not paused
if is_open then tokens = tokens + elapsed * per_ms end
tokens = math.min(math.max(1, per_ms * 2000), tokens + lapsed)

local offered = 0
if is_open then
  local taken = redis.call('ZCARD', KEYS[6])
  for i = 8, #KEYS do taken = taken + redis.call('ZCOUNT', KEYS[i], '(' .. now, '+inf') end
  local sold = 0
  for i = 9, #ARGV do sold = sold + tonumber(redis.call('HGET', KEYS[7], 'sold:' .. ARGV[i]) or 0) end
  local free = math.min(math.floor(tokens), tonumber(ARGV[4]) - taken, tonumber(ARGV[5]) - sold - taken, tonumber(ARGV[8]))
  local lapses = now + tonumber(ARGV[6])
  if free > 0 then
    local first = redis.call('ZPOPMIN', KEYS[5], free)
    for i = 1, #first, 2 do redis.call('ZADD', KEYS[8], lapses, first[i]) end
    offered = #first / 2
  end
  if free > offered then
    local next = redis.call('ZPOPMIN', KEYS[4], free - offered)
    for i = 1, #next, 2 do
      redis.call('ZADD', KEYS[8], lapses, next[i])
      horizon = math.max(horizon, tonumber(next[i + 1]))
    end
    offered = offered + #next / 2
  end
end

redis.call('HSET', KEYS[3], 'horizon', horizon, 'tokens', string.format('%.17g', tokens - offered), 'at', now)
if offered > 0 then redis.call('HINCRBY', KEYS[7], 'offered', offered) end
if lapsed > 0 then redis.call('HINCRBY', KEYS[7], 'lapsed', lapsed) end
return {horizon, offered, lapsed}
