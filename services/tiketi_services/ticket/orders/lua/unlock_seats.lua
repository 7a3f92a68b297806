-- Paint seats free, each only if it is still painted as this hold's.
-- KEYS 1 seats (hash: seat -> "hold|buyer|until_ms", or "sold")  2 counts (hash; fields taken:<SECTION>)
--      3 holding (zset: buyer by ms)
-- ARGV 1, 3, ... seat  2, 4, ... its hold
-- Result how many were painted
-- @include seat_paint

local freed = 0
for i = 1, #ARGV, 2 do
  local seat, paint = ARGV[i], redis.call('HGET', KEYS[1], ARGV[i])
  if paint and string.sub(paint, 1, #ARGV[i + 1] + 1) == ARGV[i + 1] .. '|' then
    freed = freed + redis.call('HDEL', KEYS[1], seat)
    redis.call('HINCRBY', KEYS[2], 'taken:' .. section_of(seat), -1)
    forget_holder(KEYS[3], paint)
  end
end
return freed
