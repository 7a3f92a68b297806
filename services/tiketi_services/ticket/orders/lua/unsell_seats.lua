-- Seats that are painted as sold are not sold any more, as PostgreSQL has it. Idempotent: other paint stays.
-- KEYS 1 seats (hash: seat -> "hold|buyer|until_ms", or "sold")  2 counts (hash; fields sold, sold:<SECTION>,
--      taken:<SECTION>)  3 holding (zset: buyer by ms)
-- ARGV 1, 3, ... seat  2, 4, ... its paint from now on; empty: none
-- Result how many were painted as sold
-- @include seat_paint

local unsold = 0
for i = 1, #ARGV, 2 do
  local seat, paint = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', KEYS[1], seat) == 'sold' then
    unsold = unsold + 1
    redis.call('HINCRBY', KEYS[2], 'sold', -1)
    redis.call('HINCRBY', KEYS[2], 'sold:' .. section_of(seat), -1)
    if paint == '' then
      redis.call('HDEL', KEYS[1], seat)
      redis.call('HINCRBY', KEYS[2], 'taken:' .. section_of(seat), -1)
    else
      put(KEYS[1], KEYS[2], KEYS[3], seat, paint)
    end
  end
end
return unsold
