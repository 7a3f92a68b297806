-- Paint seats as PostgreSQL has them, and count those that become sold. A sold seat is never painted as held: a late
-- brush must not undo it. Idempotent: the counts are always the number of seats painted sold. Of an event that Redis
-- does not know (deleted, or not yet restored) nothing is painted.
-- KEYS 1 seats (hash: seat -> "hold|buyer|until_ms", or "sold")  2 counts (hash; fields sold, sold:<SECTION>)  3 sheet
-- ARGV 1, 3, ... seat  2, 4, ... its paint
-- Result how many seats became sold
if redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
local sold = 0
for i = 1, #ARGV, 2 do
  local seat, paint = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', KEYS[1], seat) ~= 'sold' then
    redis.call('HSET', KEYS[1], seat, paint)
    if paint == 'sold' then
      sold = sold + 1
      redis.call('HINCRBY', KEYS[2], 'sold', 1)
      redis.call('HINCRBY', KEYS[2], 'sold:' .. string.match(seat, '^[^-]+'), 1)
    end
  end
end
return sold
