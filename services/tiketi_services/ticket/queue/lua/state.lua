-- One reading of a line for everybody who waits in it.
-- KEYS 1 epoch  2 clock  3 serving (hash)  4 waiting  5 returning  6 living  7 offers  8 active  9 counts  10 rate  11 draw
--      12 pace  13 holding  14 crowded
-- ARGV sections sold in this line
-- Result {now, epoch, horizon, entries (-1: not fixed), 1 if drawn, waiting, offered, active, of these holding seats,
--         admitted so far, sold, rate (0: the policy's), share of no-shows (text), pace (stretch, number, ...),
--         crowded (stretch, seconds as bits, ...), places taken of each section, living (bitmap)}
-- @include epoch
-- @include now

local EPOCH, CLOCK, SERVING, WAITING, RETURNING, LIVING, OFFERS, ACTIVE, COUNTS, RATE, DRAW, PACE, HOLDING,
  CROWDED = unpack(KEYS)
local epoch = epoch_of(EPOCH)
if not epoch then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(CLOCK)
local live = '(' .. now
local serving = redis.call('HMGET', SERVING, 'horizon', 'share')
local counts = redis.call('HMGET', COUNTS, 'admitted', 'sold')
local draw = redis.call('HMGET', DRAW, 'n', 'ready')
local taken = {}
for i = 1, #ARGV do taken[i] = tonumber(redis.call('HGET', COUNTS, 'taken:' .. ARGV[i]) or 0) end
return {
  now,
  epoch,
  tonumber(serving[1] or 0),
  tonumber(draw[1] or -1),
  draw[2] == '1' and 1 or 0,
  redis.call('ZCARD', WAITING) + redis.call('ZCARD', RETURNING),
  redis.call('ZCOUNT', OFFERS, live, '+inf'),
  redis.call('ZCOUNT', ACTIVE, live, '+inf'),
  redis.call('ZINTERCARD', 2, ACTIVE, HOLDING),
  tonumber(counts[1] or 0),
  tonumber(counts[2] or 0),
  tonumber(redis.call('HGET', RATE, 'perMinute') or 0),
  serving[2] or '0',
  redis.call('HGETALL', PACE),
  redis.call('HGETALL', CROWDED),
  taken,
  redis.call('GET', LIVING) or '',
}
