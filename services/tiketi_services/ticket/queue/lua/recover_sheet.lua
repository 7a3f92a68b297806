-- Put back the newest sale sheet that PostgreSQL has, unless the operator wrote a newer one here.
-- KEYS 1 epoch  2 sheet (JSON)  3 sheet-version (decimal)
-- ARGV 1 epoch that is built  2 version  3 sheet
-- Result 1; 0 if somebody else took over, or Redis lost it again, and nothing is written
-- @include building

if not is_building(KEYS[1], ARGV[1]) then return 0 end
local is_newer = tonumber(redis.call('GET', KEYS[3]) or 0) >= tonumber(ARGV[2]) and redis.call('EXISTS', KEYS[2]) == 1
if not is_newer then redis.call('SET', KEYS[2], ARGV[3]) redis.call('SET', KEYS[3], ARGV[2]) end
return 1
