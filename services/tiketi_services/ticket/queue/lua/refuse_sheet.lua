-- Tell the operator why a sheet is not taken over, while it is still the newest one.
-- KEYS 1 sheet-version (decimal, only read)  2 refused (JSON)
-- ARGV 1 version of the sheet  2 version and promises (JSON)
-- Result 1 if told
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
