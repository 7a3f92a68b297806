-- Buyers of a line are alive. Nobody is brought back by a heartbeat: only joining does that.
-- KEYS 1 epoch  2 clock  3 alive (zset by ms)
-- ARGV 1.. buyers
-- Result: which of them (from 1) are not in line
-- @include epoch
-- @include now

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(KEYS[2])
local absent = {}
for i = 1, #ARGV do
  if redis.call('ZSCORE', KEYS[3], ARGV[i]) then
    redis.call('ZADD', KEYS[3], now, ARGV[i])
  else
    absent[#absent + 1] = i
  end
end
return absent
