-- Buyers of a line are alive. Nobody is brought back by a heartbeat: only joining does that.
-- KEYS 1 epoch  2 clock  3 alive (zset by ms)  4 places (hash buyer -> seq)
-- ARGV 1, 3, ... buyer  2, 4, ... seq that the buyer's page shows, 0 if it is not to be looked up
-- Result: flat list, for each buyer (from 1) of whom it is news: the buyer, then 0 if not in line, or the seq that counts
-- @include epoch
-- @include now

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(KEYS[2])
local news = {}
for i = 1, #ARGV, 2 do
  local buyer, shown = ARGV[i], ARGV[i + 1]
  local seq = shown
  if not redis.call('ZSCORE', KEYS[3], buyer) then
    seq = '0'
  else
    redis.call('ZADD', KEYS[3], now, buyer)
    if shown ~= '0' then seq = redis.call('HGET', KEYS[4], buyer) or shown end
    if seq == shown then seq = nil end
  end
  if seq then
    news[#news + 1] = (i + 1) / 2
    news[#news + 1] = tonumber(seq)
  end
end
return news
