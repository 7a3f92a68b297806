-- Let a line go on beyond its marks; one that was served before, with empty buckets.
-- KEYS 1 epoch  2 seq  3 serving (hash)  4 limits (hash seq, serving)  5 draw (hash n, at, ready)
-- ARGV 1 epoch that is built  2 seq  3 horizon  4 limit of seq  5 limit of the horizon  6 entries of the draw, or ''
--      7 when they closed (ms)  8 1 if they are drawn
-- Result 1; 0 if somebody else took over, or Redis lost it again, and nothing is written
-- @include building

if not is_building(KEYS[1], ARGV[1]) then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[3], 'horizon', ARGV[3])
if tonumber(ARGV[3]) > 0 then redis.call('HSET', KEYS[3], 'tokens', 0, 'claims', 0) end
redis.call('HSET', KEYS[4], 'seq', ARGV[4], 'serving', ARGV[5])
if ARGV[6] ~= '' then redis.call('HSET', KEYS[5], 'n', ARGV[6], 'at', ARGV[7]) end
if ARGV[8] == '1' then redis.call('HSET', KEYS[5], 'ready', 1) end
return 1
