-- Paint seats as PostgreSQL has them, and count those that become sold. A sold seat is never painted as held: a late
-- brush must not undo it. Idempotent: the counts are always the number of seats painted sold, and painted at all. Of an
-- event that Redis does not know (deleted, or not yet restored) nothing is painted.
-- KEYS 1 seats (hash: seat -> "hold|buyer|until_ms", or "sold")  2 counts (hash; fields sold, sold:<SECTION>,
--      taken:<SECTION>)  3 holding (zset: buyer by ms)  4 sheet
-- ARGV 1, 3, ... seat  2, 4, ... its paint
-- Result how many seats became sold
-- @include seat_paint

if redis.call('EXISTS', KEYS[4]) == 0 then return 0 end
local sold = 0
for i = 1, #ARGV, 2 do
  local seat, paint = ARGV[i], ARGV[i + 1]
  local before = redis.call('HGET', KEYS[1], seat)
  if before ~= 'sold' then
    put(KEYS[1], KEYS[2], KEYS[3], seat, paint)
    if paint == 'sold' then
      sold = sold + 1
      redis.call('HINCRBY', KEYS[2], 'sold', 1)
      redis.call('HINCRBY', KEYS[2], 'sold:' .. section_of(seat), 1)
      if before then forget_holder(KEYS[3], before) end
    end
  end
end
return sold
