-- How far numbers and horizon of a line are, how far they may go, and how many wait.
-- KEYS 1 epoch  2 clock  3 seq  4 serving (hash)  5 limits (hash)  6 waiting  7 returning
--      8 draw (hash n, at, ready)
-- Result {seq, its limit, horizon, its limit, waiting, 1 while those lost with Redis are still coming back,
--         1 if the entries are drawn}
-- @include epoch
-- @include now

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(KEYS[2])
local serving = redis.call('HMGET', KEYS[4], 'horizon', 'hold_until', 'hold_living')
local limits = redis.call('HMGET', KEYS[5], 'seq', 'serving')
local waiting = redis.call('ZCARD', KEYS[6]) + redis.call('ZCARD', KEYS[7])
local is_held = now < tonumber(serving[2] or 0) and waiting < 0.9 * tonumber(serving[3] or 0)
return {
  tonumber(redis.call('GET', KEYS[3]) or 0), tonumber(limits[1] or 0),
  tonumber(serving[1] or 0), tonumber(limits[2] or 0),
  waiting, is_held and 1 or 0,
  redis.call('HEXISTS', KEYS[8], 'ready'),
}
