-- Let a line go on beyond its marks; one that was served before, with empty buckets. Admissions, and crowds, noted at a time that
-- is still to come were noted by a clock that was wrong.
-- KEYS 1 epoch  2 clock  3 seq  4 serving (hash)  5 limits (hash seq, serving)  6 draw (hash n, at, ready)
--      7 pace (hash by 10 s)  8 crowded (hash by 10 s)
-- ARGV 1 epoch that is built  2 seq  3 horizon  4 limit of seq  5 limit of the horizon  6 entries of the draw, or ''
--      7 when they closed (ms)  8 1 if they are drawn
-- Result 1; 0 if somebody else took over, or Redis lost it again, and nothing is written
-- @include building
-- @include now

if not is_building(KEYS[1], ARGV[1]) then return 0 end
redis.call('SET', KEYS[3], ARGV[2])
redis.call('HSET', KEYS[4], 'horizon', ARGV[3])
if tonumber(ARGV[3]) > 0 then redis.call('HSET', KEYS[4], 'tokens', 0, 'claims', 0) end
redis.call('HSET', KEYS[5], 'seq', ARGV[4], 'serving', ARGV[5])
if ARGV[6] ~= '' then redis.call('HSET', KEYS[6], 'n', ARGV[6], 'at', ARGV[7]) end
if ARGV[8] == '1' then redis.call('HSET', KEYS[6], 'ready', 1) end
local now = now_of(KEYS[2])
for i = 7, 8 do
  for _, stretch in ipairs(redis.call('HKEYS', KEYS[i])) do
    if tonumber(stretch) * 10000 > now then redis.call('HDEL', KEYS[i], stretch) end
  end
end
return 1
