-- Count the painted seats anew, and who holds some: what is counted along the way may have drifted.
-- KEYS 1 seats (hash: seat -> "hold|buyer|until_ms", or "sold")  2 counts (hash; fields sold, sold:<SECTION>,
--      taken:<SECTION>)  3 holding (zset: buyer by ms)
-- Result how many seats are painted
-- @include seat_paint

for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if field == 'sold' or string.match(field, '^sold:') or string.match(field, '^taken:') then
    redis.call('HDEL', KEYS[2], field)
  end
end
redis.call('DEL', KEYS[3])
local counts, paints = {}, redis.call('HGETALL', KEYS[1])
local function count(field) counts[field] = (counts[field] or 0) + 1 end
for i = 1, #paints, 2 do
  local section, paint = section_of(paints[i]), paints[i + 1]
  count('taken:' .. section)
  if paint == 'sold' then
    count('sold')
    count('sold:' .. section)
  else
    redis.call('ZADD', KEYS[3], 'GT', until_of(paint), buyer_of(paint))
  end
end
for field, number in pairs(counts) do redis.call('HSET', KEYS[2], field, number) end
return #paints / 2
