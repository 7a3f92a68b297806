-- Lock seats for a hold, all or none: turns losers away early. PostgreSQL decides afterwards. Of an event that Redis does
-- not know (deleted, or not yet restored) nothing is painted.
-- KEYS 1 seats (hash: seat -> "hold|buyer|until_ms", or "sold")  2 counts (hash; fields taken:<SECTION>)
--      3 holding (zset: buyer by ms)  4 sheet
-- ARGV 1 hold  2 buyer  3 duration (ms)  4... seats
-- Result the seats that are taken; none means that all are locked
-- @include seat_paint

if redis.call('EXISTS', KEYS[4]) == 0 then return {} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken = {}
for i = 4, #ARGV do
  local paint = redis.call('HGET', KEYS[1], ARGV[i])
  if paint and (paint == 'sold' or until_of(paint) > now) then taken[#taken + 1] = ARGV[i] end
end
if #taken == 0 then
  local lock = string.format('%s|%s|%d', ARGV[1], ARGV[2], now + ARGV[3])
  for i = 4, #ARGV do put(KEYS[1], KEYS[2], KEYS[3], ARGV[i], lock) end
end
return taken
