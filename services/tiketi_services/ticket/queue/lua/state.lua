-- One reading of a line for everybody who waits in it.
-- KEYS 1 epoch  2 clock  3 serving (hash)  4 waiting  5 returning  6 offers  7 active  8 counts
-- Result {now, horizon, waiting, offered, active, sold}
-- @include epoch
-- @include now

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(KEYS[2])
local alive_after = '(' .. now
return {
  now,
  tonumber(redis.call('HGET', KEYS[3], 'horizon') or 0),
  redis.call('ZCARD', KEYS[4]) + redis.call('ZCARD', KEYS[5]),
  redis.call('ZCOUNT', KEYS[6], alive_after, '+inf'),
  redis.call('ZCOUNT', KEYS[7], alive_after, '+inf'),
  tonumber(redis.call('HGET', KEYS[8], 'sold') or 0),
}
